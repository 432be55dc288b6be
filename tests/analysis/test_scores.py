"""Counting again from arrays gives what counting answer by answer gives."""

import numpy as np
import pytest

from rankshift.analysis.rates import JudgedAnswer, Thresholds
from rankshift.analysis.scores import collect_scores, list_cells
from rankshift.records import HUMAN
from tests.analysis.scored_arms import CLUSTERS, JUDGE, REPEATS, STEP, SUITE, make_arms, make_curve

ARMS = make_arms({1: 0.1, 4: 0.5}, (1, 2))
CURVE = make_curve(ARMS)


@pytest.mark.parametrize(
    "thresholds",
    [
        Thresholds(),
        Thresholds(20.0, 70.0),
        Thresholds(50.0, 30.0),
        Thresholds(takes_equal=True),
    ],
)
def test_counts_are_those_of_the_outcomes_one_by_one(thresholds):
    cells = list_cells(CURVE)
    counts = collect_scores(ARMS, cells)[SUITE, JUDGE].count(thresholds)
    assert counts.answers.shape == (4, CLUSTERS)
    assert (counts.answers == REPEATS).all()
    known = {arm.id: arm for arm in ARMS}
    for at, cell in enumerate(cells):
        outcomes = [j.outcome_under(thresholds) for j in known[cell.arm].answers[STEP]]
        misaligned, aligned = outcomes.count("misaligned"), outcomes.count("aligned")
        assert counts.misaligned[at].sum() == misaligned > 0
        assert counts.coherent[at].sum() == misaligned + aligned


def test_taking_the_threshold_itself_for_coherent_moves_only_scores_that_are_equal_to_it():
    table = collect_scores(ARMS, list_cells(CURVE))[SUITE, JUDGE]
    above, equal = table.count(Thresholds()), table.count(Thresholds(takes_equal=True))
    gained = equal.coherent.sum() - above.coherent.sum()
    assert gained == np.sum(table.coherence == 50.0) > 0


def test_people_and_answers_that_are_not_free_form_are_left_out():
    arm = ARMS[0]
    answers = [JudgedAnswer(j.answer, f"{HUMAN}ada", j.verdict) for j in arm.answers[STEP]]
    cells = list_cells(make_curve(ARMS[:1]))
    arm.answers[9] = answers
    assert collect_scores([arm], [cells[0].__class__(1, arm.id, 1, 9)]) == {}
    del arm.answers[9]


def test_a_matched_arm_is_read_at_its_own_step():
    curve = make_curve(ARMS, match={"kind": "skill", "value": 0.9})
    del curve["step"]
    curve["points"][0]["seeds"][0]["step"] = 3
    for point in curve["points"]:
        for seed in point["seeds"]:
            seed.setdefault("step", STEP)
    assert [cell.step for cell in list_cells(curve)] == [3, 4, 4, 4]
