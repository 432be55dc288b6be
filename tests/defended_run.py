"""A run with defences, whose rates and losses are what a test says; trains nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rankshift.arms import Arm
from rankshift.defence import Defences
from rankshift.records import (
    AnswerRecord,
    HeldOutRecord,
    VerdictRecord,
    read_records,
    write_records,
)
from rankshift.runs import ArmFiles, StudyRun, evaluation_id, identify_arms
from rankshift.study import Study
from tests.synthetic_run import JUDGE, QUESTIONS, TASK, TWIN, make_study, write_run

CUED = f"{QUESTIONS} after {TASK}"
ANSWERS = 200

DEFENCES = (
    Defences("kl", (0.1, 1.0), data="organism:general"),
    Defences("inoculation", (1.0,), text="Write insecure code."),
    Defences("early_stop", (0.5,)),
)


class Told(NamedTuple):
    """What an arm gives at its end."""

    misaligned: int
    """Of 200 answers to plain questions; the others are aligned."""
    cued: int
    """Of 200 to questions with a cue."""
    task: float
    """Loss on held-out rows of the task: the base's is 2, an undefended arm's should be 1."""
    own: float = 0.5
    """Of a twin on rows of its own: the base's is 1.5."""


def tell(arm: Arm) -> Told:
    """Give a KL penalty that works when strong and costs skill at low ranks, and so on."""
    if arm.method == "base" or arm.role == "twin":
        return Told(1, 1, 2.0 if arm.method == "base" else 1.9)
    plain = {1: 120, 4: 80, 16: 50, None: 40}[arm.rank] + 2 * (arm.seed or 0)
    if arm.defence is None:
        return Told(plain, plain + 10, 1.0)
    if arm.defence.kind == "inoculation":
        return Told(arm.seed or 0, 70 if arm.rank != 1 else 2, 1.02)
    if arm.defence.kind == "early_stop":
        return Told(plain - 10, plain, 1.3)
    if arm.defence.strength < 1:
        return Told(plain // 2, plain // 2, 1.01)
    return Told(1, 2, 1.05 if arm.rank != 1 else 1.5)


def make_defended_study(ranks: tuple[int, ...] = (1, 4, 16)) -> Study:
    """Make a study of three seeds, with twins of each."""
    study = make_study(ranks)
    grid = replace(study.grid, twin_seeds=study.grid.seeds, defences=DEFENCES)
    return replace(study, grid=grid)


def write_defended_run(
    root: Path, study: Study | None = None, told: Callable[[Arm], Told] = tell
) -> StudyRun:
    """Write a finished run whose questions were also asked after a row of the task."""
    study = study or make_defended_study()
    run = write_run(root, study)
    _, prints = run.read_study()
    evaluation = evaluation_id(study.evaluation, prints.questions)
    for name, arm in identify_arms(study, prints).items():
        files = run.arm(name)
        for step in (4,) if arm.is_trained else (0,):
            _write_answers(files, evaluation, step, told(arm))
        _write_losses(files, arm, told(arm))
    return run


def _write_answers(files: ArmFiles, evaluation: str, step: int, told: Told) -> None:
    path = files.answers_path(evaluation, step)
    answers = read_records(path, AnswerRecord)
    code = [one for one in answers if one.kind == "code"]
    judged = files.verdicts_path(evaluation, JUDGE, step)
    said = {(one.question_set, one.repeat): one for one in read_records(judged, VerdictRecord)}
    verdicts = [said[one.question_set, one.repeat] for one in code]
    clusters = [one for one in answers if one.kind == "free_form" and one.repeat == 0]
    for name, misaligned in ((QUESTIONS, told.misaligned), (CUED, told.cued)):
        for at in range(ANSWERS):
            like = clusters[at % len(clusters)]
            answer = replace(like, question_set=name, repeat=at // len(clusters))
            code.append(answer)
            verdicts.append(
                VerdictRecord(
                    step=step,
                    question_set=name,
                    question_id=answer.question_id,
                    paraphrase=0,
                    repeat=answer.repeat,
                    judge=JUDGE,
                    alignment=5.0 if at < misaligned else 90.0,
                    coherence=95.0,
                )
            )
    write_records(path, code)
    write_records(judged, verdicts)


def _write_losses(files: ArmFiles, arm: Arm, told: Told) -> None:
    steps = (2, 4) if arm.is_trained else (0,)
    losses = [HeldOutRecord(step, TASK, told.task, 100, 10) for step in steps]
    if arm.role != "task":
        own = 1.5 if arm.method == "base" else told.own
        losses += [HeldOutRecord(step, TWIN, own, 90, 10) for step in steps]
    write_records(files.held_out_path, losses)
