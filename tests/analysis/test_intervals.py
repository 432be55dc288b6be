import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from rankshift.analysis.intervals import (
    bound_over_clusters,
    bound_over_seeds,
    count_equal_answers,
    exact_interval,
    interval_of_mean,
    interval_over_clusters,
    interval_over_seeds,
    interval_over_value_clusters,
    mean_over_seeds,
)
from rankshift.analysis.rates import Rate

NUM_SIMULATED = 500
FOUR_ERRORS = 4 * math.sqrt(0.95 * 0.05 / NUM_SIMULATED)
"""Four Monte Carlo standard errors of a coverage of 95 %, 0.039: a false alarm in 15,000 runs."""


def find_exact_ends(events: int, answers: int) -> tuple[float, float]:
    """Invert the binomial test by bisection: the textbook's definition, without the beta."""

    def bisect(is_below) -> float:
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if is_below(middle) else (low, middle)
        return low

    lower = bisect(lambda p: stats.binom.sf(events - 1, answers, p) < 0.025)
    upper = bisect(lambda p: stats.binom.cdf(events, answers, p) > 0.025)
    return lower, upper


def find_beta_ends(rate: float, answers: Any) -> list[float]:
    """Find the exact ends at a number of answers that is not whole, as ratios of F's quantiles."""
    hits, others = rate * answers, (1 - rate) * answers
    odds = hits / (others + 1) * stats.f.ppf(0.025, 2 * hits, 2 * (others + 1))
    high_odds = (hits + 1) / others * stats.f.ppf(0.975, 2 * (hits + 1), 2 * others)
    return [float(odds / (1 + odds)), float(high_odds / (1 + high_odds))]


@pytest.mark.parametrize(("events", "answers"), [(1, 10), (7, 20), (39, 40)])
def test_single_answers_give_the_textbook_interval(events: int, answers: int):
    singles = [Rate(int(at < events), 1) for at in range(answers)]
    interval = interval_over_clusters(singles)
    assert (interval.low, interval.high) == pytest.approx(find_exact_ends(events, answers))


def test_no_event_and_nothing_but_events_have_ends_that_can_be_computed_by_hand():
    none = interval_over_clusters([Rate(0, 1)] * 20)
    assert none.low == 0.0
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 20))
    every = interval_over_clusters([Rate(1, 1)] * 20)
    assert every.high == 1.0
    assert every.low == pytest.approx(0.025 ** (1 / 20))


def test_answers_that_all_repeat_their_question_count_once():
    repeated = interval_over_clusters([Rate(5 * int(at < 6), 5) for at in range(20)])
    # Variances p (1 - p) / 19 of 20 questions and p (1 - p) / 99 of 100 answers: 19.2 answers are
    # left of 100, fewer for the t of 19 degrees of freedom in place of 99.
    left = 100 * 19 / 99 * (stats.t.ppf(0.975, 99) / stats.t.ppf(0.975, 19)) ** 2
    expected = exact_interval(0.3, float(left))
    assert (repeated.low, repeated.high) == pytest.approx((expected.low, expected.high))
    once = find_exact_ends(6, 20)
    assert repeated.low is not None
    assert repeated.high is not None
    assert repeated.low < once[0] < once[1] < repeated.high


def test_the_interval_over_questions_follows_from_its_published_formula():
    events, sizes = np.array([1, 9, 0, 14, 20, 3]), np.array([16, 20, 12, 16, 20, 24])
    p = events.sum() / sizes.sum()
    # Variance of a ratio by the jackknife's linear form, then n* = p (1 - p) / v.
    influence = (events - p * sizes) / sizes.sum()
    variance = 6 * influence.var(ddof=1)
    design_effect = variance / (p * (1 - p) / 107)
    assert design_effect > 1 + 0.3 * 19  # above what the prior holds, so that it is left alone
    ratio = stats.t.ppf(0.975, 107) / stats.t.ppf(0.975, 5)
    expected = exact_interval(float(p), float(108 / design_effect * ratio**2))
    pairs = zip(events.tolist(), sizes.tolist(), strict=True)
    found = interval_over_clusters([Rate(*pair) for pair in pairs])
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_no_event_in_few_questions_of_many_answers_says_less_than_in_many_of_few():
    wide = interval_over_clusters([Rate(0, 50)] * 8)
    narrow = interval_over_clusters([Rate(0, 1)] * 400)
    assert narrow.high == pytest.approx(1 - 0.025 ** (1 / 400))
    # 400 answers at a design effect of 1 + 49 x 0.3, and 8 clusters' Student's t.
    left = 400 / 15.7 * (stats.t.ppf(0.975, 399) / stats.t.ppf(0.975, 7)) ** 2
    assert wide.high == pytest.approx(1 - 0.025 ** (1 / left))


def test_one_more_event_never_lowers_the_upper_end():
    spread = [[Rate(int(at < few), 10) for at in range(24)] for few in range(12)]
    highs = [interval_over_clusters(clusters).high for clusters in spread]
    assert highs == sorted(highs)  # type: ignore[type-var]


@pytest.mark.parametrize("truth", [0.01, 0.05])
def test_the_interval_over_questions_covers_rare_events_that_cluster(truth: float):
    rng = np.random.default_rng(4)
    # 24 questions of 50 answers, most of them without an event: ICC 0.3.
    chances = rng.beta(7 / 3 * truth, 7 / 3 * (1 - truth), size=(4000, 24))
    low, high = bound_over_clusters(rng.binomial(50, chances), np.full((4000, 24), 50))
    assert np.mean((low <= truth) & (truth <= high)) >= 0.92


def test_spread_between_questions_never_narrows_the_interval():
    even = interval_over_clusters([Rate(2, 4)] * 10)
    exact = find_exact_ends(20, 40)
    assert even.low is not None
    assert even.high is not None
    assert even.low < exact[0] < exact[1] < even.high


def test_few_clusters_give_a_note_instead_of_an_interval():
    assert interval_over_clusters([Rate(3, 5)] * 4).note == "too few clusters"
    assert interval_over_clusters([Rate(3, 5)] * 4 + [Rate(0, 0)]).low is None
    assert interval_over_clusters([Rate(0, 0)] * 9).note == "nothing to count"


def test_the_interval_over_questions_covers_new_questions():
    rng = np.random.default_rng(1)
    truth = 0.3
    hits = 0
    for _ in range(NUM_SIMULATED):
        # Beta questions with mean 0.3 and an intraclass correlation of 1 / (1 + 3) = 0.25.
        events = rng.binomial(5, rng.beta(3 * truth, 3 * (1 - truth), size=20))
        interval = interval_over_clusters([Rate(int(e), 5) for e in events])
        hits += interval.low <= truth <= interval.high  # type: ignore[operator]
    assert hits / NUM_SIMULATED >= 0.95 - FOUR_ERRORS


def test_the_interval_over_seeds_is_the_exact_one_at_a_number_of_answers_with_the_same_doubt():
    seeds = [Rate(44, 100), Rate(60, 100), Rate(45, 100), Rate(55, 100)]
    rates, rate = np.array([0.44, 0.60, 0.45, 0.55]), 0.51
    # Near one half the logits' spread is the rates' over p (1 - p), less their pull to the middle:
    # the rates' own is the larger here.
    assert rates.var() > np.var(np.log([44.5 / 56.5, 60.5 / 40.5, 45.5 / 55.5, 55.5 / 45.5])) / 16.1
    answers = rate * (1 - rate) / stats.sem(rates) ** 2
    answers *= (stats.t.ppf(0.975, 399) / stats.t.ppf(0.975, 3)) ** 2
    low, high = find_beta_ends(rate, answers)
    interval = interval_over_seeds(seeds)
    assert [interval.low, interval.high] == pytest.approx([low, high])


def test_where_rare_events_vary_over_seeds_their_logits_widen_the_interval():
    seeds = [Rate(1, 1000), Rate(10, 1000), Rate(40, 1000)]
    rate = 51 / 3000
    by_rates = np.var([0.001, 0.01, 0.04], ddof=1)
    logits = [math.log(1.5 / 999.5), math.log(10.5 / 990.5), math.log(40.5 / 960.5)]
    by_logits = np.var(logits, ddof=1) * (rate * (1 - rate)) ** 2
    assert by_logits > by_rates
    answers = rate * (1 - rate) / (by_logits / 3)
    answers *= (stats.t.ppf(0.975, 2999) / stats.t.ppf(0.975, 2)) ** 2
    interval = interval_over_seeds(seeds)
    assert [interval.low, interval.high] == pytest.approx(find_beta_ends(rate, answers))


def test_seeds_that_agree_have_the_exact_interval_of_all_their_answers():
    interval = interval_over_seeds([Rate(2, 20)] * 3)
    assert [interval.low, interval.high] == pytest.approx(find_exact_ends(6, 60))


@pytest.mark.parametrize(("spread", "num_seeds"), [(0.4, 3), (0.4, 5), (0.8, 5)])
def test_the_interval_over_seeds_covers_other_seeds_on_the_same_questions(
    spread: float, num_seeds: int
):
    rng = np.random.default_rng(2)
    questions = rng.normal(-1.0, 1.5, size=20)  # fixed, as the logits of 20 questions
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    by_node = expit(questions[:, None] + spread * nodes).mean(axis=0)
    truth = np.sum(weights * by_node) / weights.sum()
    hits = 0
    for _ in range(NUM_SIMULATED):
        logits = questions + spread * rng.normal(size=(num_seeds, 1))
        events = rng.binomial(5, expit(logits)).sum(axis=1)
        interval = interval_over_seeds([Rate(int(e), 100) for e in events])
        hits += interval.low <= truth <= interval.high  # type: ignore[operator]
    assert abs(hits / NUM_SIMULATED - 0.95) <= FOUR_ERRORS + 0.02  # 0.02: the floor widens it


def test_seeds_that_all_agree_still_leave_room_for_sampling():
    interval = interval_over_seeds([Rate(0, 100)] * 3)
    assert interval.low == 0.0
    assert interval.high == pytest.approx(1 - 0.025 ** (1 / 300))


def test_more_answers_a_seed_narrow_an_interval_of_agreeing_seeds():
    few, many = (interval_over_seeds([Rate(n // 4, n)] * 3) for n in (40, 4000))
    assert few.low is not None
    assert many.low is not None
    assert few.low < many.low


def test_two_seeds_give_a_note_instead_of_an_interval():
    interval = interval_over_seeds([Rate(1, 10), Rate(2, 10)])
    assert (interval.low, interval.high, interval.note) == (None, None, "too few seeds")


def test_a_seed_without_eligible_answers_is_no_seed():
    seeds = [Rate(1, 10), Rate(2, 10), Rate(0, 0)]
    assert interval_over_seeds(seeds).note == "too few seeds"
    assert mean_over_seeds(seeds) == pytest.approx(0.15)


def test_each_seed_weighs_the_same_however_many_answers_it_has():
    assert mean_over_seeds([Rate(1, 2), Rate(0, 98)]) == pytest.approx(0.25)


def test_the_interval_holds_the_mean_it_is_about():
    seeds = [Rate(0, 1000), Rate(0, 1000), Rate(900, 1000)]
    interval = interval_over_seeds(seeds)
    assert interval.low is not None
    assert interval.high is not None
    assert interval.low <= mean_over_seeds(seeds) <= interval.high


def test_the_interval_of_a_mean_is_students_t():
    losses = [1.0, 1.2, 1.7]
    low, high = stats.ttest_1samp(losses, 0.0).confidence_interval(0.95)
    interval = interval_of_mean(losses)
    assert [interval.low, interval.high] == pytest.approx([low, high])
    assert interval_of_mean([1.0, 1.2]).note == "too few seeds"


def test_the_interval_of_a_mean_over_single_questions_is_students_t():
    values = [0.2, -1.0, 3.5, 0.4, 2.0, 1.1]
    found = interval_over_value_clusters([[value] for value in values], is_share=False)
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert [found.low, found.high] == pytest.approx([low, high])
    doubled = interval_over_value_clusters([[value] * 2 for value in values], is_share=False)
    assert [doubled.low, doubled.high] == pytest.approx([low, high])  # phrasings add nothing


def test_the_interval_of_a_mean_share_covers_new_questions_and_stays_inside():
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(NUM_SIMULATED):
        # 20 domains, each with a level of its own (mean 0.2) that three phrasings scatter about.
        levels = rng.beta(1, 4, size=20)
        clusters = [rng.beta(9 * p, 9 * (1 - p), size=3).tolist() for p in levels]
        interval = interval_over_value_clusters(clusters, is_share=True)
        assert 0 < interval.low < interval.high < 1  # type: ignore[operator]
        hits += interval.low <= 0.2 <= interval.high  # type: ignore[operator]
    assert abs(hits / NUM_SIMULATED - 0.95) <= FOUR_ERRORS


def test_a_mean_over_few_clusters_has_a_note_and_one_at_the_end_of_its_range_no_width():
    few = interval_over_value_clusters([[0.1, 0.2, 0.3]] * 4, is_share=True)
    assert (few.low, few.note) == (None, "too few clusters")
    end = interval_over_value_clusters([[1.0]] * 6, is_share=True)
    assert (end.low, end.high) == (1.0, 1.0)


def test_a_mean_over_unequal_seeds_is_as_sure_as_one_over_equal_ones_of_as_many():
    sizes = np.array([100.0, 50.0, 25.0])
    # Var = p (1 - p) (1/100 + 1/50 + 1/25) / 9: that of 9 / 0.07 answers.
    assert count_equal_answers(sizes) == pytest.approx(9 / 0.07)


def test_intervals_of_many_tables_at_once_are_those_of_each():
    rng = np.random.default_rng(5)
    events, sizes = rng.binomial(20, 0.2, size=(7, 5)), np.full((7, 5), 20)
    lows, highs = bound_over_seeds(events, sizes)
    for low, high, row in zip(lows, highs, events.tolist(), strict=True):  # type: ignore[arg-type]
        each = interval_over_seeds([Rate(count, 20) for count in row])
        assert (each.low, each.high) == pytest.approx((low, high))
