import math
from itertools import combinations

import numpy as np
import pytest

from rankshift.analysis.clustering import (
    PRIOR_EVENTS,
    PRIOR_ICC,
    allow_for_few_events,
    estimate_design_effect,
    estimate_icc,
)


def test_the_icc_is_that_of_the_analysis_of_variance_table():
    # Two questions of three answers, 3 and 1 events. By hand: group means 1 and 1/3, grand 2/3;
    # SSB = 3 (1/9) 2 = 2/3 on 1 degree, SSW = 2/3 on 4; MSB = 2/3, MSW = 1/6.
    icc = estimate_icc(np.array([3.0, 1.0]), np.array([3.0, 3.0]))
    assert icc == pytest.approx((2 / 3 - 1 / 6) / (2 / 3 + 2 / 6))


def test_the_icc_is_the_correlation_of_pairs_of_answers_to_one_question():
    rng = np.random.default_rng(1)
    answers = rng.random((3000, 4)) < rng.beta(1.2, 2.8, size=(3000, 1))  # ICC 1 / (1 + 4) = 0.2
    pairs = [(row[i], row[j]) for row in answers for i, j in combinations(range(4), 2)]
    both = np.array(pairs + [(b, a) for a, b in pairs], float)
    expected = np.corrcoef(both.T)[0, 1]
    icc = estimate_icc(answers.sum(1).astype(float), np.full(3000, 4.0))
    assert icc == pytest.approx(expected, abs=2e-3)
    assert icc == pytest.approx(0.2, abs=0.04)


def test_answers_that_copy_one_another_have_an_icc_of_one():
    assert estimate_icc(np.array([4.0, 0.0, 4.0]), np.array([4.0, 4.0, 4.0])) == pytest.approx(1)


def test_questions_more_even_than_chance_have_an_icc_below_zero():
    icc = estimate_icc(np.array([2.0, 2.0, 2.0]), np.array([4.0, 4.0, 4.0]))
    assert icc == pytest.approx(-1 / 3)  # -1 / (m - 1): the least there can be


@pytest.mark.parametrize(
    ("events", "sizes"),
    [([1, 0, 1], [1, 1, 1]), ([0, 0], [5, 5]), ([5, 5], [5, 5]), ([2], [4]), ([2, 0], [4, 0])],
)
def test_there_is_no_icc_where_nothing_shows_it(events: list[float], sizes: list[float]):
    assert estimate_icc(np.array(events, float), np.array(sizes, float)) is None


def test_equal_questions_have_the_design_effect_that_their_icc_gives():
    rng = np.random.default_rng(2)
    events = rng.binomial(10, rng.beta(0.6, 2.4, size=4000)).astype(float)  # ICC 0.25
    sizes = np.full(4000, 10.0)
    icc = estimate_icc(events, sizes)
    assert icc is not None
    assert estimate_design_effect(events, sizes) == pytest.approx(1 + 9 * icc, rel=2e-3)


def test_a_design_effect_is_given_for_each_table():
    events = np.array([[1.0, 3.0, 0.0], [0.0, 0.0, 0.0], [2.0, 2.0, 5.0]])
    sizes = np.full((3, 3), 5.0)
    found = np.asarray(estimate_design_effect(events, sizes))
    assert math.isnan(found[1])
    for at in (0, 2):
        assert found[at] == estimate_design_effect(events[at], sizes[at])


def test_with_no_event_the_design_effect_is_the_priors():
    sizes = np.array([10.0, 10.0, 40.0])
    usual = (100 + 100 + 1600) / 60
    assert allow_for_few_events(1.0, 0.0, sizes) == pytest.approx(1 + (usual - 1) * PRIOR_ICC)


def test_the_prior_weighs_less_with_every_event_and_as_much_as_that_many_of_them():
    sizes = np.full(20, 10.0)
    prior = 1 + 9 * PRIOR_ICC
    assert allow_for_few_events(1.0, PRIOR_EVENTS, sizes) == pytest.approx((1 + prior) / 2)
    raised = [allow_for_few_events(1.0, float(events), sizes) for events in range(100)]
    assert raised == sorted(raised, reverse=True)


def test_answers_that_are_all_events_but_few_are_as_hard_to_judge_as_few_events():
    sizes = np.full(20, 10.0)
    assert allow_for_few_events(1.0, 198.0, sizes) == allow_for_few_events(1.0, 2.0, sizes)


def test_the_prior_lowers_no_design_effect_and_touches_none_of_single_answers():
    assert allow_for_few_events(9.0, 2.0, np.full(20, 10.0)) == 9.0
    assert allow_for_few_events(1.0, 0.0, np.ones(20)) == 1.0
