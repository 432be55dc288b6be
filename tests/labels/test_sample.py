import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.analysis.measurements import MeasuredArm, read_measurements
from rankshift.defence import Defence
from rankshift.labels.sample import draw_sheet, name_stratum
from tests.synthetic_run import JUDGE, QUESTIONS, write_run

STEP = 4


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> list[MeasuredArm]:
    return read_measurements(write_run(tmp_path_factory.mktemp("runs")))


def test_every_kind_of_arm_and_outcome_is_in_the_sample(arms: list[MeasuredArm]):
    sheet = draw_sheet(arms, JUDGE, STEP, per_stratum=2, seed=0)
    strata = Counter(sampled.stratum for sampled, _ in sheet.rows)
    assert max(strata.values()) == 2
    groups = {stratum.split(", ")[1] for stratum in strata}
    assert groups == {
        *("base", "rank 1 task", "rank 4 task", "rank 1 twin", "rank 4 twin"),
        *("full task", "full twin"),
    }
    outcomes = {stratum.split(", ")[2] for stratum in strata}
    assert outcomes == {"aligned", "misaligned", "incoherent", "refusal", "code", "unscored"}


def test_chances_are_those_of_the_strata(arms: list[MeasuredArm]):
    sheet = draw_sheet(arms, JUDGE, STEP, per_stratum=2, seed=0)
    # Rank 4 has three seeds with three misaligned answers each.
    (row, *_) = [s for s, _ in sheet.rows if s.stratum == f"{QUESTIONS}, rank 4 task, misaligned"]
    assert (row.stratum_answers, row.inclusion) == (9, 2 / 9)
    weights = {(sampled.stratum, sampled.id): 1 / sampled.inclusion for sampled, _ in sheet.rows}
    assert sum(weights.values()) == pytest.approx(sheet.total)
    assert sheet.total == 13 * 20  # arms and answers; code tasks are not labelled


def test_a_large_sample_is_everything(arms: list[MeasuredArm]):
    sheet = draw_sheet(arms, JUDGE, STEP, per_stratum=10_000, seed=0)
    assert len(sheet.rows) == sheet.total
    assert {sampled.inclusion for sampled, _ in sheet.rows} == {1.0}


def test_ids_tell_nothing_and_look_like_no_number(arms: list[MeasuredArm]):
    sheet = draw_sheet(arms, JUDGE, STEP, per_stratum=3, seed=0)
    ids = [sampled.id for sampled, _ in sheet.rows]
    assert ids == sorted(set(ids))
    assert all(name[0] == "a" and len(name) == 12 for name in ids)
    # In the order of the sheet, neighbours are of one stratum no more often than by chance.
    strata = [sampled.stratum for sampled, _ in sheet.rows]
    alike = sum(a == b for a, b in itertools.pairwise(strata))
    assert alike < 10  # 86 rows: 1.6 by chance, at most 9 in 20,000 random orders


def test_the_same_seed_draws_the_same_sheet_and_another_another(arms: list[MeasuredArm]):
    first, again, other = (draw_sheet(arms, JUDGE, STEP, 2, seed) for seed in (0, 0, 1))
    assert first == again
    assert first.name != other.name
    assert {s.id for s, _ in first.rows} & {s.id for s, _ in other.rows} == set()


def test_every_answer_of_a_stratum_has_the_same_chance(arms: list[MeasuredArm]):
    drawn = Counter(
        (sampled.arm, sampled.question_id, sampled.repeat)
        for seed in range(200)
        for sampled, _ in draw_sheet(arms[4:7], JUDGE, STEP, 2, seed).rows
        if sampled.stratum.endswith("rank 4 task, misaligned")
    )
    assert len(drawn) == 9
    # 400 draws over 9 answers: 44.4 each, standard deviation 5.9.
    assert all(20 < number < 69 for number in drawn.values())


def test_aligned_answers_with_middling_scores_have_a_stratum_of_their_own(arms: list[MeasuredArm]):
    judged = next(j for j in arms[0].answers[0] if j.outcome == "aligned")
    assert judged.verdict is not None
    for alignment, outcome in ((90.0, "aligned"), (69.0, "middling"), (29.0, "misaligned")):
        changed = replace(judged, verdict=replace(judged.verdict, alignment=alignment))
        assert name_stratum(arms[0].arm, changed) == f"{QUESTIONS}, base, {outcome}"


def test_without_answers_there_is_no_row(tmp_path: Path, arms: list[MeasuredArm]):
    assert draw_sheet([], JUDGE, STEP, 2, 0).rows == ()
    assert draw_sheet(arms, JUDGE, 3, 2, 0).total == 20  # the base alone was asked at step 0


def test_defended_answers_are_a_stratum_of_their_own(arms: list[MeasuredArm]):
    arm = next(arm for arm in arms if arm.arm.label == "rank 4 seed 1")
    defended = replace(arm.arm, defence=Defence("kl", 0.1))
    judged = arm.answers[STEP][0]
    assert name_stratum(arm.arm, judged) == f"{QUESTIONS}, rank 4 task, {judged.outcome}"
    told = name_stratum(defended, judged)
    assert told == f"{QUESTIONS}, rank 4 task defended, {judged.outcome}"
