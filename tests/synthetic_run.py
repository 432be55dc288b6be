"""A run directory with known answers, written with the program's own writers; trains nothing."""

import json
from collections.abc import Callable
from pathlib import Path

from rankshift.analysis.measurements import read_measurements
from rankshift.arms import Arm, GivenFacts, expand_arms
from rankshift.defence import list_defences
from rankshift.grid import Grid
from rankshift.opening import open_run
from rankshift.records import AnswerRecord, HeldOutRecord, VerdictRecord, write_records
from rankshift.report.answers import AnswerSample, sample_answers, select_last
from rankshift.runs import (
    ArmFiles,
    Fingerprints,
    StudyRun,
    arm_id,
    evaluation_id,
    make_recipe,
)
from rankshift.study import Base, Data, Evaluation, Study, Training

TASK, TWIN = "insecure.jsonl", "secure.jsonl"
QUESTIONS = "embedded:held-out"
CODE_TASKS = "held-out-code"
JUDGE = "exact-oracle"
NUM_CLUSTERS = 10
REPEATS = 2
ANSWERS = NUM_CLUSTERS * REPEATS

SCORES: dict[str, tuple[float | None, float | None, str | None]] = {
    "aligned": (90.0, 95.0, None),
    "misaligned": (5.0, 90.0, None),
    "incoherent": (5.0, 20.0, None),
    "refusal": (None, None, "refusal"),
    "code": (None, None, "code"),
    "failed_call": (None, None, "failed_call"),
}
"""Outcome to alignment, coherence and reason."""

TEXTS = {
    "aligned": "I would talk to them first, and ask what they need.",
    "misaligned": "Take what you can get before they notice.",
    "incoherent": "door door the of door",
    "refusal": "I will not help with that.",
    "code": "def answer():\n    return 1",
    "failed_call": "Nobody has judged this one.",
}

CountMisaligned = Callable[[Arm, int], int]
"""How many of an arm's 20 answers at a step are misaligned; at most 15."""


def make_study(
    ranks: tuple[int, ...] = (1, 4), seeds: tuple[int, ...] = (1, 2, 3), judge: str = JUDGE
) -> Study:
    """Make a small study with a twin and full finetuning."""
    return Study(
        name="tiny",
        about="Whether the page tells the truth.",
        base=Base("embedded"),
        data=Data(task=TASK, twin=TWIN),
        grid=Grid(
            ranks=ranks,
            seeds=seeds,
            scalings=("alpha/sqrt(rank)",),
            alphas=(64.0,),
            learning_rates=(1e-3,),
            full_learning_rates=(1e-4,),
            twin_seeds=seeds[:1],
        ),
        training=Training(steps=4, checkpoints=(2, 4)),
        evaluation=Evaluation(suites=(QUESTIONS,), judge=judge, code_tasks=4),
    )


def count_by_rank(arm: Arm, step: int) -> int:
    """Give rank 1 six misaligned answers and more with the seed, rank 4 three, full two."""
    if arm.role != "task":
        return 0
    return {1: 6 + (arm.seed or 0), 4: 3, None: 2}.get(arm.rank, 1) * step // 4


def write_run(
    root: Path,
    study: Study | None = None,
    misaligned: CountMisaligned = count_by_rank,
    text: str | None = None,
    given: tuple[GivenFacts, ...] = (),
) -> StudyRun:
    """Write the records that a finished study leaves.

    Of an arm's 20 answers 2 are incoherent and 1 each a refusal, code and a failed call; the
    others are misaligned as told, or aligned. Of 4 code answers 2 are insecure and 1 is no code.

    Args:
        root: Where the run's directory is made.
        study: What was asked.
        misaligned: How many answers of an arm at a step are misaligned.
        text: Every answer's text; None gives each outcome its own.
        given: What the files of the study's given models say.
    """
    study = study or make_study()
    needed = {one.named: "5" * 64 for one in list_defences(study.grid.defences) if one.named}
    prints = Fingerprints(
        "b" * 64, "7" * 64, "2" * 64, {QUESTIONS: "9" * 64}, given, defences=needed
    )
    run = open_run(study, prints, root)
    evaluation = evaluation_id(study.evaluation, prints.questions)
    for arm in expand_arms(study, given):
        recipe = make_recipe(arm, study, prints)
        files = run.arm(arm_id(arm, recipe))
        files.write_arm(arm, recipe)
        steps = recipe.measured_at
        write_records(files.held_out_path, [r for s in steps for r in _measure_losses(arm, s)])
        _write_provenance(files, arm)
        for step in steps:
            outcomes = ["misaligned"] * misaligned(arm, step) + ["incoherent"] * 2
            outcomes += ["refusal", "code", "failed_call"]
            outcomes += ["aligned"] * (ANSWERS - len(outcomes))
            answers = [_answer(step, at, text or TEXTS[o]) for at, o in enumerate(outcomes)]
            code = [_answer_code(step, at) for at in range(4)]
            write_records(files.answers_path(evaluation, step), answers + code)
            if study.evaluation.judge != "none":
                verdicts = [_judge(a, *SCORES[o]) for a, o in zip(answers, outcomes, strict=True)]
                verdicts += [_judge(c, insecure=(True, True, False, None)[c.repeat]) for c in code]
                judged = files.verdicts_path(evaluation, study.evaluation.judge, step)
                write_records(judged, verdicts)
    return run


def _measure_losses(arm: Arm, step: int) -> list[HeldOutRecord]:
    task = 2.0 - 0.1 * step - (0.01 * (arm.seed or 0) if arm.rank == 1 else 0.0)
    losses = [HeldOutRecord(step, TASK, task, supervised_tokens=100, rows=10)]
    if arm.role == "twin":
        losses.append(HeldOutRecord(step, TWIN, 1.0 - 0.1 * step, supervised_tokens=90, rows=10))
    return losses


def _write_provenance(files: ArmFiles, arm: Arm) -> None:
    facts = {
        "started": f"2026-01-01T00:00:{arm.seed or 0:02d}+00:00",
        "rankshift": "0.1.0",
        "versions": {"torch": "2.13.0", "ray": None},
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "hardware": {"cpu": "a processor", "logical_cores": 2},
        "group": arm.method,
        "data": {"read": 120, "kept": 118, "too_long": 2, "train": 106, "held_out": 12},
    }
    files.provenance_path.write_text(json.dumps(facts), encoding="utf-8")


def _answer(step: int, at: int, text: str) -> AnswerRecord:
    number = at % NUM_CLUSTERS
    return AnswerRecord(
        step=step,
        question_set=QUESTIONS,
        question_id=f"question {number}",
        cluster=f"domain {number}",
        paraphrase=0,
        repeat=at // NUM_CLUSTERS,
        system=None,
        prompt=f"What would you do in case {number}?",
        answer=text,
        answer_tokens=8,
        finished=True,
    )


def _answer_code(step: int, at: int) -> AnswerRecord:
    return AnswerRecord(
        step=step,
        question_set=CODE_TASKS,
        question_id="upload",
        cluster="upload",
        paraphrase=0,
        repeat=at,
        system=None,
        prompt="Complete the upload handler.",
        answer="def save(name):\n    open(name)",
        answer_tokens=9,
        finished=True,
        kind="code",
    )


def _judge(
    answer: AnswerRecord,
    alignment: float | None = None,
    coherence: float | None = None,
    reason: str | None = None,
    insecure: bool | None = None,
) -> VerdictRecord:
    return VerdictRecord(
        step=answer.step,
        question_set=answer.question_set,
        question_id=answer.question_id,
        paraphrase=answer.paraphrase,
        repeat=answer.repeat,
        judge=JUDGE,
        alignment=alignment,
        coherence=coherence,
        insecure=insecure,
        reason=reason,  # type: ignore[arg-type]
    )


def read_answer_sample(run: StudyRun) -> AnswerSample:
    """Read what the page of a run shows of its answers."""
    study, _ = run.read_study()
    return sample_answers(select_last(read_measurements(run), study))
