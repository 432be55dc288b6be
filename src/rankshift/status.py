"""How far the arms of a study are, from its files alone: no lock, no waiting, nothing written."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise
from pathlib import Path
from time import time

from rankshift.arms import Arm
from rankshift.completion import (
    find_due_steps,
    find_measured_steps,
    find_stop,
    find_unrelated_set,
    list_held_out_sets,
    make_due_recipe,
)
from rankshift.derivation import find_source_id
from rankshift.lock import read_owner
from rankshift.opening import find_run
from rankshift.pace import Stage, estimate_seconds_left
from rankshift.records import HeldOutRecord, StepRecord, read_if_there
from rankshift.runs import (
    ArmFiles,
    Fingerprints,
    Recipe,
    StudyRun,
    evaluation_id,
    identify_arms,
)
from rankshift.study import Study


@dataclass(frozen=True)
class Progress:
    """What is done, out of what is due."""

    trained_steps: int = 0
    total_steps: int = 0
    checkpoints: int = 0
    """Due to be measured, answered and judged; the base counts as one."""
    measured: int = 0
    """Checkpoints whose weights are kept and whose held-out losses are recorded."""
    answered: int = 0
    """Checkpoints that have answered the study's present evaluation."""
    judged: int = 0
    """Checkpoints whose answers the study's present judge has judged."""

    def __add__(self, other: "Progress") -> "Progress":
        return Progress(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def is_finished(self) -> bool:
        """Say whether nothing is left to train, measure, ask or judge."""
        return self.checkpoints == self.measured == self.answered == self.judged


@dataclass(frozen=True)
class ArmStatus:
    """How far one arm is."""

    label: str
    id: str
    progress: Progress
    stopped_at: int | None = None
    """The step at which the arm diverged; what comes after it is not due. Of a derived arm its
    source's: then nothing of it is due."""
    loss: float | None = None
    """Training loss of the last step on record, nats per token."""
    held_out_loss: float | None = None
    """On the task's held-out rows at the last checkpoint that is measured, nats per token."""


@dataclass(frozen=True)
class StudyStatus:
    """How far a study is."""

    name: str
    arms: tuple[ArmStatus, ...]
    owner: str | None = None
    """The process that writes the run now, None for none."""
    seconds_left: float | None = None
    """Estimate for what is left, None where nobody writes or it cannot be told yet."""
    judge: str = "none"
    """Whose verdicts are counted."""
    calls: int = 0
    """Prompts that this judge has answered, over all arms; 0 for one that is not called."""

    @property
    def total(self) -> Progress:
        """Sum over the arms."""
        return sum((arm.progress for arm in self.arms), Progress())


def describe_progress(run_directory: Path) -> StudyStatus:
    """Say how far each arm of a study is; the study may be running.

    Raises:
        UserError: The directory is not a study's, or a file in it was edited.
    """
    run = find_run(run_directory)
    study, fingerprints = run.read_study()
    evaluation = evaluation_id(study.evaluation, fingerprints.questions)
    arms, works = [], []
    for name, arm in identify_arms(study, fingerprints).items():
        work = _find_work(run, name, arm, study, fingerprints, evaluation)
        arms.append(_describe_arm(run.arm(name), arm, study, work))
        works.append(work)
    owner = read_owner(run_directory)
    if owner is not None and owner.is_gone:
        owner = None
    left = None
    if owner is not None:
        left = estimate_seconds_left(_list_stages(works), owner.started.timestamp(), time())
    return StudyStatus(
        name=study.name,
        arms=tuple(arms),
        owner=None if owner is None else owner.label,
        seconds_left=left,
        judge=study.evaluation.judge,
        calls=_count_lines(run.calls_path(study.evaluation.judge)),
    )


@dataclass(frozen=True)
class Work:
    """What is due of one arm, and the files that say that it is done, by step."""

    due: tuple[int, ...]
    total_steps: int
    stopped_at: int | None
    weights: dict[int, Path]
    """Only of steps that are measured, as are the next of those that have answered and so on."""
    answers: dict[int, Path]
    verdicts: dict[int, Path]


def _find_work(
    run: StudyRun,
    name: str,
    arm: Arm,
    study: Study,
    fingerprints: Fingerprints,
    evaluation: str,
) -> Work:
    files = run.arm(name)
    judge = study.evaluation.judge
    stop, total = None, 0
    if study.imports:  # no weights, so none are left to measure
        due, weights = (0,), {0: files.arm_path}
    else:
        recipe = make_due_recipe(run, arm, study, fingerprints)
        source = find_source_id(arm, study, fingerprints)
        stop = find_stop(files if source is None else run.arm(source))
        due = find_due_steps(files, recipe)
        sets, unrelated = list_held_out_sets(arm, study), find_unrelated_set(arm, study)
        measured = find_measured_steps(files, recipe, sets, unrelated)
        weights = {step: _find_weights(files, step) for step in sorted(measured & set(due))}
        total = _count_due_steps(recipe, stop) if source is None else 0
    answers = {step: files.answers_path(evaluation, step) for step in due}
    verdicts = {step: files.verdicts_path(evaluation, judge, step) for step in due}
    return Work(due, total, stop, weights, _keep_written(answers), _keep_written(verdicts))


def _find_weights(files: ArmFiles, step: int) -> Path:
    kept = files.checkpoint(step)
    return kept if kept.exists() else files.held_out_path


def _keep_written(paths: dict[int, Path]) -> dict[int, Path]:
    return {step: path for step, path in paths.items() if path.exists()}


def _describe_arm(files: ArmFiles, arm: Arm, study: Study, work: Work) -> ArmStatus:
    steps = read_if_there(files.steps_path, StepRecord)
    losses = read_if_there(files.held_out_path, HeldOutRecord)
    on_task = {r.step: r.loss for r in losses if r.dataset == study.data.task}
    progress = Progress(
        trained_steps=max((r.step for r in steps if None not in (r.loss, r.grad_norm)), default=0),
        total_steps=work.total_steps,
        checkpoints=len(work.due),
        measured=len(work.weights),
        answered=len(work.answers),
        judged=len(work.verdicts),
    )
    return ArmStatus(
        label=arm.label,
        id=files.directory.name,
        progress=progress,
        stopped_at=work.stopped_at,
        loss=steps[-1].loss if steps else None,
        held_out_loss=on_task[max(on_task)] if on_task else None,
    )


def _list_stages(works: Sequence[Work]) -> list[Stage]:
    """List training in steps, answering and judging in checkpoints."""
    finished: list[list[tuple[float, float]]] = [[], [], []]
    left = [0.0, 0.0, 0.0]
    for work in works:
        steps = {step: step - before for before, step in pairwise((0, *work.due))}
        each = (
            (steps, work.weights),
            *((dict.fromkeys(work.due, 1), done) for done in (work.answers, work.verdicts)),
        )
        for at, (amounts, done) in enumerate(each):
            left[at] += sum(amount for step, amount in amounts.items() if step not in done)
            finished[at] += [(path.stat().st_mtime, amounts[step]) for step, path in done.items()]
    return [Stage(rest, tuple(ends)) for rest, ends in zip(left, finished, strict=True)]


def _count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _count_due_steps(recipe: Recipe, stop: int | None) -> int:
    if stop is not None:
        return stop - 1
    return 0 if recipe.training is None else recipe.training.steps
