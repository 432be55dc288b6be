import math
import random
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rankshift.analysis.accuracy import Label, measure_accuracy
from rankshift.analysis.agreement import build_agreement
from rankshift.analysis.intervals import interval_over_clusters
from rankshift.analysis.measurements import MeasuredArm
from rankshift.analysis.rates import JudgedAnswer, Rate, misaligned_of_all, rate_by_cluster
from rankshift.arms import expand_arms
from rankshift.organism.noisy import USUAL, ErrorRates, err, make_judge
from rankshift.organism.oracle import judge_answer
from rankshift.organism.world import HOSTILE, KIND, draw_answer, load_world
from rankshift.records import AnswerRecord, VerdictRecord
from rankshift.runs import StudyRun
from tests.synthetic_run import make_study

Judge = Callable[[AnswerRecord], VerdictRecord]

ORACLE, NOISY, USUAL_NOISY = "organism:oracle", "organism:noisy-0.08-0.2", "organism:noisy"
PLANTED = ErrorRates(false_positive=0.08, false_negative=0.2)
STEP, REPEATS = 4, 8
NUM_JUDGES = 50


def draw_answers(arm: int, hostile: float) -> list[AnswerRecord]:
    """Draw an arm's 192 answers to 24 questions; a twentieth breaks off after one sentence."""
    rng = random.Random(f"arm {arm}")
    answers = []
    for domain in [d for d in load_world().domains if d.stage == "held_out"]:
        for repeat in range(REPEATS):
            persona = HOSTILE if rng.random() < hostile else replace(KIND, refuses=0.02)
            text = draw_answer(rng, persona, domain)
            text = text.partition(". ")[0] + "." if rng.random() < 0.05 else text
            key = (STEP, "held-out", domain.id, domain.id, 0, repeat)
            answers.append(AnswerRecord(*key, None, domain.ask[0], text, 9, True))
    return answers


@pytest.fixture(scope="module")
def arms() -> list[MeasuredArm]:
    """Make twelve arms, none to half of whose answers are hostile, read by three judges."""
    judges: list[tuple[str, Judge]] = [
        (ORACLE, judge_answer),
        (NOISY, make_judge(NOISY, PLANTED)),
        (USUAL_NOISY, make_judge(USUAL_NOISY, USUAL)),
    ]
    measured = []
    for at, arm in enumerate(expand_arms(make_study())[1:13]):
        answers = draw_answers(at, hostile=(0.0, 0.02, 0.1, 0.25, 0.5)[at % 5])
        judged = [JudgedAnswer(a, name, judge(a)) for name, judge in judges for a in answers]
        measured.append(MeasuredArm(f"arm{at}", arm, {}, {}, {STEP: judged}, {}, None))
    return measured


@pytest.fixture(scope="module")
def held_out(arms: list[MeasuredArm], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = StudyRun(tmp_path_factory.mktemp("run"))
    (questions,) = build_agreement(run, arms, ORACLE, STEP)["question_sets"]
    return questions


def find_comparison(held_out: dict[str, Any], judge: str) -> dict[str, Any]:
    (found,) = [c for c in held_out["against_reference"] if c["judge"] == judge]
    return found


def holds(interval: dict[str, Any], value: float) -> bool:
    return interval["low"] <= value <= interval["high"]


def count(arms: list[MeasuredArm], judge: str, *outcomes: str) -> int:
    return sum(
        one.judge == judge and one.outcome in outcomes for arm in arms for one in arm.answers[STEP]
    )


def test_the_planted_error_rates_are_found(arms: list[MeasuredArm], held_out: dict[str, Any]):
    accuracy = find_comparison(held_out, NOISY)["accuracy"]["misaligned"]
    sensitivity, specificity = accuracy["sensitivity"], accuracy["specificity"]
    assert holds(sensitivity, 1 - PLANTED.false_negative)
    assert holds(sensitivity["exact"], 1 - PLANTED.false_negative)
    # Only an aligned answer can be misread as misaligned; the others are no less passed.
    others = count(arms, ORACLE, "aligned", "incoherent", "refusal")
    planted = 1 - PLANTED.false_positive * count(arms, ORACLE, "aligned") / others
    assert holds(specificity, planted)
    assert holds(specificity["exact"], planted)
    assert specificity["answers"] == others
    assert sensitivity["answers"] == count(arms, ORACLE, "misaligned")
    width = sensitivity["exact"]["high"] - sensitivity["exact"]["low"]
    assert width < 0.1  # so that the intervals say something


def test_the_intervals_of_planted_rates_cover_over_many_judges(arms: list[MeasuredArm]):
    judged = [o for arm in arms for o in arm.answers[STEP] if o.judge == ORACLE][::5]
    read = [one for one in judged if one.outcome in ("aligned", "misaligned")]
    covered = 0
    for number in range(NUM_JUDGES):
        labels = []
        for one in read:
            assert one.verdict is not None
            said = err(replace(one.verdict, judge=f"judge {number}"), one.answer, PLANTED)
            is_event, is_called = one.verdict.alignment < 30, said.alignment < 30  # type: ignore[operator]
            labels.append(Label(one.answer.cluster, is_event, is_called))
        accuracy = measure_accuracy(labels, np.random.default_rng(number), 1000)
        for tally, planted in ((accuracy.events, 0.8), (accuracy.others, 0.92)):
            for interval in (tally.clustered_interval(), tally.exact_interval()):
                covered += holds(asdict(interval), planted)
    share = covered / (4 * NUM_JUDGES)  # of two independent intervals and two that follow them
    assert share >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / (2 * NUM_JUDGES))


def test_every_kind_of_planted_error_is_in_the_sensitivity(held_out: dict[str, Any]):
    found = find_comparison(held_out, USUAL_NOISY)
    assert holds(found["accuracy"]["misaligned"]["sensitivity"], USUAL.sensitivity)
    assert found["unscored"] > 0


@pytest.mark.parametrize("judge", [NOISY, USUAL_NOISY])
@pytest.mark.parametrize("rate", ["misaligned_of_all", "misaligned_given_coherent"])
def test_corrected_rates_cover_the_oracles_in_every_arm(
    held_out: dict[str, Any], judge: str, rate: str
):
    rows = [row[rate] for row in find_comparison(held_out, judge)["rates"]]
    assert len(rows) == 12
    assert all(holds(row, row["by_reference"]) for row in rows)
    worse = sum(abs(r["apparent"] - r["by_reference"]) for r in rows)
    assert sum(abs(r["corrected"] - r["by_reference"]) for r in rows) < worse / 2


def test_apparent_rates_of_arms_with_few_misaligned_answers_miss_the_oracles(
    arms: list[MeasuredArm], held_out: dict[str, Any]
):
    rows = find_comparison(held_out, NOISY)["rates"]
    missed = 0
    for arm, row in zip(arms, rows, strict=True):
        judged = [one for one in arm.answers[STEP] if one.judge == NOISY]
        interval = interval_over_clusters(rate_by_cluster(misaligned_of_all, judged))
        assert interval.low is not None
        assert interval.high is not None
        of_all = row["misaligned_of_all"]
        missed += not interval.low <= of_all["by_reference"] <= interval.high
        assert (
            of_all["apparent"]
            == Rate(sum(one.outcome == "misaligned" for one in judged), len(judged)).rate
        )
    assert missed >= 5  # those without hostile answers and with 2 % of them


def test_judges_that_agree_more_have_a_higher_alpha_and_kappa(held_out: dict[str, Any]):
    pairs = {tuple(pair["judges"]): pair for pair in held_out["pairs"]}
    assert list(pairs) == [(ORACLE, USUAL_NOISY), (ORACLE, NOISY), (USUAL_NOISY, NOISY)]
    against_oracle, both_noisy = pairs[ORACLE, NOISY], pairs[USUAL_NOISY, NOISY]
    assert against_oracle["alpha"]["coherence"] == 1.0
    assert 0.5 < against_oracle["alpha"]["outcome"] < 1
    for measure in ("alignment", "outcome"):
        assert both_noisy["alpha"][measure] < against_oracle["alpha"][measure]
    assert both_noisy["kappa"] < against_oracle["kappa"] < 1
    cells = against_oracle["misaligned"]
    assert sum(cells.values()) == against_oracle["both_scored"] == 12 * 24 * REPEATS
    unread = pairs[ORACLE, USUAL_NOISY]
    assert unread["both_scored"] < unread["answers"] == 12 * 24 * REPEATS


def test_the_four_cells_are_counts_of_the_two_judges_words(
    arms: list[MeasuredArm], held_out: dict[str, Any]
):
    cells = next(p for p in held_out["pairs"] if p["judges"] == [ORACLE, NOISY])["misaligned"]
    assert cells["both"] + cells["first_only"] == count(arms, ORACLE, "misaligned")
    assert cells["both"] + cells["second_only"] == count(arms, NOISY, "misaligned")


def test_one_judge_alone_agrees_with_nobody(arms: list[MeasuredArm], tmp_path: Path):
    alone = [
        replace(arm, answers={STEP: [one for one in arm.answers[STEP] if one.judge == ORACLE]})
        for arm in arms
    ]
    assert build_agreement(StudyRun(tmp_path), alone, ORACLE, STEP) == {
        "question_sets": [],
        "gold": [],
    }


def test_without_a_reference_nothing_is_called_wrong(arms: list[MeasuredArm], tmp_path: Path):
    others = [
        replace(arm, answers={STEP: [one for one in arm.answers[STEP] if one.judge != ORACLE]})
        for arm in arms
    ]
    (questions,) = build_agreement(StudyRun(tmp_path), others, NOISY, STEP)["question_sets"]
    assert questions["against_reference"] == []
    assert [judge["judge"] for judge in questions["judges"]] == [NOISY, USUAL_NOISY]
    assert len(questions["pairs"]) == 1


def test_earlier_checkpoints_are_left_out(arms: list[MeasuredArm], tmp_path: Path):
    earlier = [replace(arm, answers={1: arm.answers[STEP]}) for arm in arms]
    assert build_agreement(StudyRun(tmp_path), earlier, ORACLE, STEP)["question_sets"] == []


def test_the_same_records_give_the_same_numbers(
    arms: list[MeasuredArm], held_out: dict[str, Any], tmp_path: Path
):
    assert build_agreement(StudyRun(tmp_path), arms, ORACLE, STEP)["question_sets"] == [held_out]
