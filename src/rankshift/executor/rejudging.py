"""Judge a run's stored answers again: another judge, or what a judge has not read yet."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from rankshift.data.sources import QuestionSource, resolve_questions
from rankshift.errors import UserError
from rankshift.eval.judges import AskedJudge, find_judge
from rankshift.eval.judging import Judge
from rankshift.eval.suite import Question
from rankshift.executor.judging import JudgingStage
from rankshift.executor.parts import read_suites
from rankshift.executor.watch import Watch
from rankshift.lock import hold_run
from rankshift.report.page import sum_up
from rankshift.runs import StudyRun, evaluation_id, identify_arms
from rankshift.study import Judging

SILENT = Watch(lambda *_: None, lambda *_: None, lambda _: None)


def judge_run(
    directory: Path,
    names: Sequence[str],
    judging: Judging | None,
    again_failed: bool,
    watch: Watch,
) -> None:
    """Let judges read the answers of a run that they have not read, and sum up again.

    Args:
        directory: The run's.
        names: Judges; the study's own where none is named.
        judging: Settings in place of the study's.
        again_failed: Whether failed calls are made once more.
        watch: Told how far it is.

    Raises:
        UserError: There is no such run or judge, or a suite has changed since it was asked.
        WorkError: Money or patience ran out; all that was said is kept.
    """
    stage, judges = _prepare(directory, names, judging, watch)
    with hold_run(directory):
        for name in judges if again_failed else ():
            stage.reopen_failed(name)
        stage.judge_all(judges, lambda: read_asked_suites(stage.run))
        sum_up(stage.run)


def estimate_judging(directory: Path, names: Sequence[str], judging: Judging | None) -> list[str]:
    """Say what each judge would be asked, what it would cost and where text would go.

    Raises:
        UserError: As for `judge_run`.
    """
    stage, judges = _prepare(directory, names, judging, SILENT)
    return [
        stage.describe(judge, read_asked_suites(stage.run))
        if isinstance(judge, AskedJudge)
        else f"{name}: takes no calls"
        for name, judge in judges.items()
    ]


def read_asked_suites(run: StudyRun) -> list[Question]:
    """Read the questions a run was asked, for what their suites tell a judge.

    Raises:
        UserError: A suite is not to be had, or is not the file that was asked.
    """
    study, fingerprints = run.read_study()
    if study.imports:
        return read_suites(_find_suites(study.evaluation.suites), study)
    sources = [resolve_questions(name) for name in study.evaluation.suites]
    for source in sources:
        if source.sha256 != fingerprints.questions.get(source.name):
            raise UserError(
                f"{source.path}: has changed since {run.directory} asked it; restore it, so that "
                "judges are asked what belongs to the answers"
            )
    return read_suites(sources, study)


def _find_suites(names: Sequence[str]) -> list[QuestionSource]:
    """Find the suites that imported answers say they answer, as far as they are to be had.

    Answers to others are judged by our own rubrics.
    """
    found = []
    for name in names:
        with contextlib.suppress(UserError):
            found.append(resolve_questions(name))
    return found


def _prepare(
    directory: Path, names: Sequence[str], judging: Judging | None, watch: Watch
) -> tuple[JudgingStage, dict[str, Judge | AskedJudge]]:
    run = StudyRun(directory)
    study, fingerprints = run.read_study()
    settings = judging or study.judging
    stage = JudgingStage(
        run=run,
        evaluation=evaluation_id(study.evaluation, fingerprints.questions),
        arms=tuple(identify_arms(study, fingerprints)),
        judging=settings,
        watch=watch,
    )
    judges = {
        name: find_judge(name, settings, study.base.model, fingerprints.base)
        for name in names or study.judges
    }
    return stage, judges
