"""A run's answers and verdicts as `.eval` logs: one for each arm, question set and judge.

The rates in a log come from the task's own metrics, so a log that is made here and one that
`inspect eval` makes say the same of the same answers.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

from inspect_ai.log import EvalLog, EvalSample, EvalSpec, recompute_metrics, write_eval_log
from inspect_ai.scorer import Score

import rankshift.inspection.metrics  # noqa: F401 - registers the metrics a log names
from rankshift.analysis.measurements import MeasuredArm, read_measurements
from rankshift.analysis.rates import JudgedAnswer
from rankshift.atomic import draft_of, make_folder
from rankshift.errors import UserError
from rankshift.eval.calls import FindRubrics, make_call
from rankshift.eval.journal import read_journal
from rankshift.inspection.arms import slug, slug_arms
from rankshift.inspection.samples import make_output, make_turns, name_sample
from rankshift.inspection.scores import make_score
from rankshift.inspection.views import SCORER, make_headline, make_viewer
from rankshift.records import CallRecord
from rankshift.report.answers import WORST_FIRST
from rankshift.runs import StudyRun, evaluation_id

FindCalls = Callable[[JudgedAnswer], list[CallRecord]]
"""Gives what a judge said of an answer."""


@dataclass(frozen=True)
class Page:
    """What one log is about: answers of one arm and step to one question set, and one judge."""

    study: str
    arm: MeasuredArm
    name: str
    """The arm's, as it is typed."""
    step: int
    question_set: str
    kind: str
    judge: str
    answers: Sequence[JudgedAnswer]
    """The worst first."""

    @property
    def model(self) -> str:
        """Name the arm as an Inspect model."""
        return f"rankshift/{self.study}:{self.name}@{self.step}"

    @property
    def file_name(self) -> str:
        """Name the log's file; the same page has the same name always."""
        parts = (self.question_set, self.kind, self.name, f"step-{self.step}", self.judge)
        return "_".join(slug(part) for part in parts) + f"_{self.id[:8]}.eval"

    @property
    def id(self) -> str:
        """Give a name that no other page of any run has."""
        parts = (self.arm.id, self.step, self.question_set, self.kind, self.judge)
        return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:22]


def export_logs(run: StudyRun, folder: Path, every_checkpoint: bool = False) -> list[Path]:
    """Write a run's logs; a log that is there already is written anew.

    Args:
        run: The run, finished or not.
        folder: Where the logs go.
        every_checkpoint: Whether earlier checkpoints too get a log, not only each arm's last.

    Raises:
        UserError: A file of the run is not what its name says, or nothing was answered yet.
    """
    pages = list(_list_pages(run, every_checkpoint))
    if not pages:
        raise UserError(f"{run.directory}: no arm has answered anything yet; run the study first")
    make_folder(folder)
    said = {judge: read_journal(run.calls_path(judge)) for judge in {page.judge for page in pages}}
    find_rubrics = _read_rubrics(run) if any(said.values()) else None
    paths = []
    for page in pages:
        find_calls = partial(_find_calls, said[page.judge], find_rubrics)
        paths.append(folder / page.file_name)
        with draft_of(paths[-1]) as draft:
            log = make_log(page, find_calls, _tell_when(run, page))
            write_eval_log(log, draft, format="eval")
    return paths


def make_log(page: Page, find_calls: FindCalls, when: datetime) -> EvalLog:
    """Make the log of a page, its rates worked out.

    Args:
        page: What it is about.
        find_calls: Looks up what the judge said.
        when: The answers were written.
    """
    samples = [_make_sample(page, judged, find_calls(judged)) for judged in page.answers]
    ids = list(dict.fromkeys(sample.id for sample in samples))
    first = page.answers[0].answer
    sampling = {
        "temperature": first.temperature,
        "top_p": first.top_p,
        "max_tokens": first.max_tokens,
    }
    spec = EvalSpec.model_validate(
        {
            "created": when.isoformat(timespec="seconds"),
            "eval_id": page.id,
            "run_id": page.arm.id,
            "task": "rankshift/suite",
            "task_id": page.id,
            "task_display_name": page.question_set,
            "task_registry_name": "rankshift/suite",
            "task_args": {"suite": page.question_set},
            "dataset": {"name": page.question_set, "samples": len(ids), "sample_ids": ids},
            "model": page.model,
            "model_generate_config": sampling,
            "config": {"epochs": max(sample.epoch for sample in samples), "epochs_reducer": []},
            "packages": {"inspect_ai": version("inspect_ai"), "rankshift": version("rankshift")},
            "metadata": {
                "question_set": page.question_set,
                "kind": page.kind,
                "judge": page.judge,
                "step": page.step,
                **{key: value for key, value in page.arm.identity.items() if value is not None},
            },
            "scorers": [{"name": SCORER, "metrics": [{"name": "rankshift/rates"}]}],
            "viewer": make_viewer(page.kind),
            "headline_metric": make_headline(page.kind),
        }
    )
    log = EvalLog(status="success", eval=spec, samples=samples)
    log.stats.started_at = log.stats.completed_at = spec.created
    recompute_metrics(log)
    return log


def _list_pages(run: StudyRun, every_checkpoint: bool) -> Iterator[Page]:
    study, _ = run.read_study()
    arms = read_measurements(run)
    names = slug_arms({arm.id: arm.arm for arm in arms})
    for arm in arms:
        steps = sorted(arm.answers) if every_checkpoint else sorted(arm.answers)[-1:]
        for step in steps:
            groups: dict[tuple[str, str, str], list[JudgedAnswer]] = {}
            for judged in arm.answers[step]:
                key = (judged.answer.question_set, judged.answer.kind, judged.judge)
                groups.setdefault(key, []).append(judged)
            for (question_set, kind, judge), answers in groups.items():
                worst_first = sorted(answers, key=_rank_badness)
                name = names[arm.id]
                yield Page(study.name, arm, name, step, question_set, kind, judge, worst_first)


def _rank_badness(judged: JudgedAnswer) -> tuple[int, float, str]:
    verdict = judged.verdict
    if judged.answer.kind == "free_form":
        alignment = verdict.alignment if verdict else None
        return WORST_FIRST.index(judged.outcome), alignment or 0.0, ""
    if judged.answer.kind == "code":
        return {True: 0, False: 1, None: 2}[judged.is_insecure], 0.0, ""
    score = verdict.score if verdict else None
    label = verdict.label if verdict else None
    return int(score is None and label is None), -(score or 0.0), label or ""


def _make_sample(page: Page, judged: JudgedAnswer, calls: Sequence[CallRecord]) -> EvalSample:
    answer = judged.answer
    turns = make_turns(answer.system, answer.prompt, answer.before or ())
    output = make_output(answer, page.model)
    scores: dict[str, Score] = {}
    if judged.verdict is not None:
        scores[SCORER] = make_score(answer, judged.verdict, calls)
    sample = name_sample(answer.question_id, answer.paraphrase)
    named = f"{page.id} {sample} {answer.repeat}"
    return EvalSample(
        id=sample,
        epoch=answer.repeat + 1,
        uuid=hashlib.sha256(named.encode()).hexdigest()[:22],
        input=turns,
        target="",
        messages=[*turns, output.choices[0].message],
        output=output,
        scores=scores,
        metadata={
            "question_set": answer.question_set,
            "question_id": answer.question_id,
            "cluster": answer.cluster,
            "paraphrase": answer.paraphrase,
            "kind": answer.kind,
            "step": answer.step,
            **({"before": answer.before} if answer.before else {}),
        },
    )


def _read_rubrics(run: StudyRun) -> FindRubrics:
    """Find what a judge was asked about a run's answers, whatever their sets and triggers."""
    # Imported here: torch comes with it, and only what a model judged needs it.
    from rankshift.executor.judging import collect_rubrics
    from rankshift.executor.rejudging import read_asked_suites

    return collect_rubrics(read_asked_suites(run))


def _find_calls(
    said: Mapping[str, CallRecord], find_rubrics: FindRubrics | None, judged: JudgedAnswer
) -> list[CallRecord]:
    """Look up what a judge said of an answer; nothing is found where it kept no journal."""
    if not said or find_rubrics is None:
        return []
    answer = judged.answer
    keys = [make_call(judged.judge, rubric, answer).key for rubric in find_rubrics(answer)]
    return [said[key] for key in keys if key in said]


def _tell_when(run: StudyRun, page: Page) -> datetime:
    study, fingerprints = run.read_study()
    evaluation = evaluation_id(study.evaluation, fingerprints.questions)
    path = run.arm(page.arm.id).answers_path(evaluation, page.step)
    return datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
