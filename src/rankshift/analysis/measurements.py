"""What a run has measured of each arm, read from its records and joined."""

import gc
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from rankshift.analysis.rates import JudgedAnswer
from rankshift.arms import Arm
from rankshift.capability import CapabilityRecord, read_all_capability
from rankshift.completion import read_stop
from rankshift.derivation import find_source_id, read_updates
from rankshift.errors import UserError
from rankshift.records import (
    HUMAN,
    AnswerRecord,
    ChoiceRecord,
    HeldOutRecord,
    SampledRecord,
    VerdictRecord,
    read_if_there,
    read_records,
)
from rankshift.runs import ArmFiles, StudyRun, evaluation_id, identify_arms
from rankshift.study import Study
from rankshift.watch_files import read_crossings, read_divergences, read_looks
from rankshift.watch_records import CrossingRecord, LookRecord
from rankshift.weight_records import UpdateRecord

IMPORTED = "imported"
"""Key of an imported arm's provenance.json: its files, with their SHA-256."""

DERIVED = "derived"
"""Key of a derived arm's provenance.json: what it was made of, and how."""

DESCRIBED = ("data", "effective_rank")
"""Keys that arm.json or provenance.json may hold: counts of rows, and target module to rank."""


@dataclass(frozen=True)
class MeasuredArm:
    """One arm with all that is known of it."""

    id: str
    arm: Arm
    task_loss: dict[int, float]
    """Step to the loss on held-out rows of the task, nats per supervised token."""
    own_loss: dict[int, float]
    """Step to the loss on held-out rows of the arm's own dataset; empty for the base, and for a
    given model whose dataset is none of the study's."""
    answers: dict[int, list[JudgedAnswer]]
    """Step to answers; one that several judges have read is there once for each, and a person's
    only where labelled."""
    facts: dict[str, Any]
    """What provenance.json says, and of arm.json what it adds to the arm and its recipe."""
    stopped_at: int | None
    """Step at which the arm diverged, so that it was stopped: its loss or gradient was not finite,
    or its loss had exploded."""
    choices: dict[int, list[ChoiceRecord]] = field(default_factory=dict)
    """Step to the log-probabilities of given answers."""
    capability: list[CapabilityRecord] = field(default_factory=list)
    """What lm-evaluation-harness measured, at whatever steps."""
    divergence: dict[int, float] = field(default_factory=dict)
    """Step to KL(arm || base) on unrelated conversations, nats per supervised token."""
    crossings: list[CrossingRecord] = field(default_factory=list)
    """What the arm crossed of what the study asks; of the others it is censored."""
    looks: list[LookRecord] = field(default_factory=list)
    updates: dict[int, UpdateRecord] = field(default_factory=dict)
    """Step to the size of the update; empty for what has none, and for runs from before."""
    exploded: bool = False
    """Whether it was the latter that stopped it."""
    twin_loss: dict[int, float] = field(default_factory=dict)
    """Step to the loss on held-out rows of the twin's data: of twins, and of the base where the
    grid has defences."""
    source: str | None = None
    """Id of the finetune that a derived arm is made of."""

    @property
    def steps(self) -> list[int]:
        """List the steps at which anything was measured."""
        losses = {*self.task_loss, *self.own_loss, *self.divergence}
        measured = {*losses, *self.answers, *self.choices}
        return sorted(measured | {record.step for record in self.capability})

    @property
    def effective_rank(self) -> int | None:
        """Give the rank, capped by the smallest dimension of the narrowest target module.

        None where an arm is imported, for its base is not told.
        """
        if IMPORTED in self.facts:
            return None
        recorded = self.facts.get("effective_rank")
        if isinstance(recorded, dict):
            return min(recorded.values(), default=self.arm.rank)
        return recorded if recorded is not None else self.arm.rank

    @property
    def identity(self) -> dict[str, Any]:
        """Give what the arm is, as the first keys of its rows in results.json."""
        arm = self.arm
        is_told = arm.target_modules != ()
        is_ours = arm.method == "lora" and IMPORTED not in self.facts
        return {
            "arm": self.id,
            "label": arm.label,
            "role": arm.role,
            "method": arm.method,
            "rank": arm.rank,
            "effective_rank": self.effective_rank,
            "alpha": arm.alpha,
            "scaling": arm.scaling,
            "scale": arm.scale,
            "learning_rate": arm.learning_rate,
            "u": arm.u,
            "seed": arm.seed,
            "dataset": arm.dataset,
            "target_modules": list(arm.target_modules) if is_told else None,
            "layers": list(arm.layers) if is_told else None,
            "trains_a": arm.trains_a if is_ours else None,
            "truncated_to": arm.truncated_to,
            "norm_to": arm.norm_to,
            "source_arm": self.source,
            "defence": asdict(arm.defence) | {"label": arm.defence.label} if arm.defence else None,
        }


def read_measurements(run: StudyRun) -> list[MeasuredArm]:
    """Read every arm of the study that has been begun, in the order of the grid.

    Only the evaluation that the study asks for now is read; answers to earlier ones stay on disk.

    Raises:
        UserError: A file is not what its name says; names file and line.
    """
    study, fingerprints = run.read_study()
    evaluation = evaluation_id(study.evaluation, fingerprints.questions)
    ids = identify_arms(study, fingerprints)
    begun = {arm_id: arm for arm_id, arm in ids.items() if run.arm(arm_id).arm_path.exists()}
    with _without_garbage_collection():
        return [
            replace(
                _read_arm(run.arm(key), arm, study, evaluation),
                source=find_source_id(arm, study, fingerprints),
            )
            for key, arm in begun.items()
        ]


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Keep Python from looking for cycles: records have none, and it would look at all of them.

    With 170,000 answers that took four of ten seconds.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read_arm(files: ArmFiles, arm: Arm, study: Study, evaluation: str) -> MeasuredArm:
    # Either refuses a directory whose content is not what it is named by.
    _ = files.read_import() if study.imports else files.read_arm()
    held_out = read_if_there(files.held_out_path, HeldOutRecord)
    stop = read_stop(files)
    return MeasuredArm(
        id=files.directory.name,
        arm=arm,
        task_loss={r.step: r.loss for r in held_out if r.dataset == study.data.task},
        own_loss={r.step: r.loss for r in held_out if r.dataset == arm.dataset},
        twin_loss={r.step: r.loss for r in held_out if r.dataset == study.data.twin},
        answers=_read_answers(files, evaluation, study.evaluation.judge),
        facts=_read_facts(files),
        stopped_at=stop.step if stop else None,
        exploded=stop is not None and stop.exploded,
        choices=_read_choices(files, evaluation),
        capability=read_all_capability(files),
        divergence={r.step: r.kl for r in read_divergences(files)},
        crossings=read_crossings(files),
        looks=read_looks(files),
        updates=read_updates(files),
    )


def _read_answers(
    files: ArmFiles, evaluation: str, primary_judge: str
) -> dict[int, list[JudgedAnswer]]:
    folder = files.directory / "evaluations" / evaluation
    judges = {unquote(path.name) for path in (folder / "verdicts").glob("*") if path.is_dir()}
    answers: dict[int, list[JudgedAnswer]] = {}
    for path in sorted((folder / "answers").glob("step-*.jsonl")):
        step = int(path.stem.removeprefix("step-"))
        asked = read_records(path, AnswerRecord)
        answers[step] = []
        for judge in (primary_judge, *sorted(judges - {primary_judge})):
            verdicts = files.verdicts_path(evaluation, judge, step)
            if judge == primary_judge or verdicts.exists():
                said = read_if_there(verdicts, VerdictRecord)
                joined = join_verdicts(asked, said, judge, verdicts)
                answers[step] += joined if judge == primary_judge else leave_out_unread(joined)
    return answers


def leave_out_unread(answers: Sequence[JudgedAnswer]) -> list[JudgedAnswer]:
    """Leave out what a judge was not given to read: that is not unscored but not theirs.

    A second judge that reads code alone is no judge of other kinds, and a person reads a sample.
    """
    if answers and answers[0].judge.startswith(HUMAN):
        return [judged for judged in answers if judged.verdict]
    read = {
        judged.answer.kind
        for judged in answers
        if judged.verdict is not None and judged.verdict.reason != "no_judge"
    }
    return [judged for judged in answers if judged.answer.kind in read]


def _read_choices(files: ArmFiles, evaluation: str) -> dict[int, list[ChoiceRecord]]:
    folder = files.choices_path(evaluation, 0).parent
    return {
        int(path.stem.removeprefix("step-")): read_records(path, ChoiceRecord)
        for path in sorted(folder.glob("step-*.jsonl"))
    }


def join_verdicts(
    answers: Sequence[AnswerRecord], verdicts: Iterable[VerdictRecord], judge: str, path: Path
) -> list[JudgedAnswer]:
    """Give every answer its verdict; an answer without one stays, unscored.

    Args:
        answers: All answers of one arm and step.
        verdicts: What one judge said of them, in any order.
        judge: The judge's name.
        path: The file of verdicts, for the message.

    Raises:
        UserError: A verdict has no answer or shares one with another verdict.
    """
    keys = {answer_key(answer) for answer in answers}
    said: dict[tuple[object, ...], VerdictRecord] = {}
    for line, verdict in enumerate(verdicts, start=1):
        key = answer_key(verdict)
        if key not in keys or key in said:
            fault = "judged twice" if key in said else "not among the answers"
            raise UserError(
                f"{path}:{line}: answer {verdict.repeat} to question {verdict.question_id} is "
                f"{fault}; remove the file and judge again"
            )
        said[key] = verdict
    return [JudgedAnswer(answer, judge, said.get(answer_key(answer))) for answer in answers]


def answer_key(record: AnswerRecord | VerdictRecord | SampledRecord) -> tuple[object, ...]:
    """Name an answer of an arm: step, question set, question, paraphrase and repeat."""
    question = (record.question_set, record.question_id, record.paraphrase)
    return (record.step, *question, record.repeat)


def _read_facts(files: ArmFiles) -> dict[str, Any]:
    facts = _read_json(files.provenance_path) if files.provenance_path.exists() else {}
    described = _read_json(files.arm_path)
    return facts | {key: described[key] for key in DESCRIBED if key in described}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise UserError(f"{path}: not JSON; remove {path.parent} and run the study again") from None
