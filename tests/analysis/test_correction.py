import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from rankshift.analysis.accuracy import Accuracy, Label, Tally, measure_accuracy
from rankshift.analysis.correction import (
    MISFIT,
    CorrectedShare,
    correct_share,
    correct_tally,
    divide,
)

NUM_SIMULATED = 250
FOUR_ERRORS = 4 * math.sqrt(0.95 * 0.05 / NUM_SIMULATED)


def measure(counts: Sequence[int], rng: np.random.Generator) -> Accuracy:
    """Measure a judge on independent answers: found, missed, wrongly called, rightly passed."""
    kinds = [(True, True), (True, False), (False, True), (False, False)]
    pairs = [kind for kind, number in zip(kinds, counts, strict=True) for _ in range(number)]
    return measure_accuracy([Label(f"q{at}", *pair) for at, pair in enumerate(pairs)], rng, 2000)


def make_tally(hits: int, answers: int) -> Tally:
    """Make a tally of independent answers."""
    return Tally(np.arange(answers), np.arange(answers) < hits, np.ones(answers))


def holds(interval, value: float) -> bool:
    """Say whether an interval covers a value; none at all does not."""
    return interval.low is not None and interval.low <= value <= interval.high


def test_rogan_and_gladen_turn_an_apparent_share_back():
    # Of 1000 answers 100 are events: 80 of them are called so, and 90 of the 900 others.
    assert correct_share(0.17, 0.8, 0.9) == pytest.approx(0.1)


def test_a_share_below_what_false_calls_alone_give_is_none_and_one_above_all():
    assert correct_share(0.05, 0.8, 0.9) == 0.0
    assert correct_share(0.99, 0.8, 0.9) == 1.0


def test_with_many_answers_the_interval_is_that_of_the_delta_method():
    rng = np.random.default_rng(1)
    found = correct_tally(make_tally(3000, 10_000), measure([1600, 400, 300, 2700], rng), rng)
    better = 0.8 + 0.9 - 1
    assert found.share == pytest.approx(0.2 / better)
    share = 0.2 / better
    variance = 0.3 * 0.7 / 10_000 + share**2 * 0.16 / 2000 + (1 - share) ** 2 * 0.09 / 3000
    reach = 1.96 * math.sqrt(variance) / better
    ends = found.interval.low, found.interval.high
    assert ends == pytest.approx((share - reach, share + reach), abs=0.004)


@pytest.mark.parametrize(
    ("share", "sensitivity", "specificity"),
    [(0.02, 0.85, 0.95), (0.2, 0.8, 0.9), (0.6, 0.7, 0.95), (0.0, 0.9, 0.97)],
)
def test_the_corrected_interval_covers_the_true_share_where_the_apparent_one_does_not(
    share: float, sensitivity: float, specificity: float
):
    rng = np.random.default_rng(2)
    called, hits, apparent_hits = share * sensitivity + (1 - share) * (1 - specificity), 0, 0
    for _ in range(NUM_SIMULATED):
        found, wrong = rng.binomial(120, sensitivity), rng.binomial(280, 1 - specificity)
        accuracy = measure([found, 120 - found, wrong, 280 - wrong], rng)
        tally = make_tally(rng.binomial(500, called), 500)
        hits += holds(correct_tally(tally, accuracy, rng).interval, share)
        apparent_hits += holds(tally.exact_interval(), share)
    assert hits / NUM_SIMULATED >= 0.95 - FOUR_ERRORS
    assert apparent_hits / NUM_SIMULATED < 0.6


def test_it_covers_when_answers_to_one_question_are_alike():
    # 24 questions of 10 answers with an intraclass correlation of 0.25, as measured on real ones.
    rng = np.random.default_rng(3)
    hits, apparent_hits = 0, 0
    for _ in range(NUM_SIMULATED):
        shares = rng.beta(3 * 0.1, 3 * 0.9, size=24)
        truth = rng.random((24, 10)) < shares[:, None]
        called = rng.random((24, 10)) < np.where(truth, 0.8, 0.1)
        clusters = np.repeat(np.arange(24), 10)
        tally = Tally(clusters, called.ravel(), np.ones(240))
        found, wrong = rng.binomial(120, 0.8), rng.binomial(280, 0.1)
        accuracy = measure([found, 120 - found, wrong, 280 - wrong], rng)
        hits += holds(correct_tally(tally, accuracy, rng).interval, 0.1)
        apparent_hits += holds(tally.clustered_interval(), 0.1)
    assert hits / NUM_SIMULATED >= 0.95 - FOUR_ERRORS
    assert apparent_hits < hits


def draw_pairs(
    rng: np.random.Generator, number: int, shares: Sequence[float], said: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draw what some answers are, and what a judge says of each."""
    truth = rng.choice(len(shares), size=number, p=shares)
    return truth, (rng.random((number, 1)) > said.cumsum(axis=1)[truth]).sum(axis=1)


def test_the_interval_of_a_ratio_of_corrected_shares_covers():
    rng = np.random.default_rng(4)
    hits = 0
    shares = 0.12, 0.68, 0.2  # misaligned, aligned, incoherent
    said = np.array([[0.75, 0.2, 0.05], [0.06, 0.9, 0.04], [0.05, 0.1, 0.85]])
    for _ in range(120):
        labels, answers = (draw_pairs(rng, number, shares, said) for number in (400, 300))
        corrected = []
        for event in ((0,), (0, 1)):
            is_event, is_called = (np.isin(x, event) for x in labels)
            pairs = zip(is_event.tolist(), is_called.tolist(), strict=True)
            accuracy = measure_accuracy(
                [Label(f"q{i}", *p) for i, p in enumerate(pairs)], rng, 2000
            )
            tally = Tally(np.arange(300), np.isin(answers[1], event), np.ones(300))
            corrected.append(correct_tally(tally, accuracy, rng))
        hits += holds(divide(*corrected).interval, 0.12 / 0.8)
    assert hits / 120 >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / 120)


def test_a_judge_no_better_than_chance_puts_nothing_right():
    rng = np.random.default_rng(8)
    found = correct_tally(make_tally(5, 10), measure([10, 10, 50, 50], rng), rng)
    assert (found.share, found.interval.low) == (None, None)
    assert found.note == "no better than chance against the reference"


def test_a_judge_that_may_be_no_better_than_chance_leaves_everything_open():
    rng = np.random.default_rng(9)
    found = correct_tally(make_tally(5, 10), measure([6, 4, 5, 6], rng), rng)
    assert (found.interval.low, found.interval.high) == (0.0, 1.0)


def test_an_arm_called_less_than_by_false_calls_alone_still_may_have_some_events():
    # 300 of 3000 labelled others were called wrongly; of the arm's 240 answers only 16 are called.
    rng = np.random.default_rng(11)
    found = correct_tally(make_tally(16, 240), measure([80, 20, 300, 2700], rng), rng)
    assert found.share == 0.0
    # Taking specificity for known and no share below 0 for possible: the tail of the likelihood.
    shares = np.linspace(0, 0.2, 2001)
    weights = stats.binom.pmf(16, 240, shares * 0.8 + (1 - shares) * 0.1)
    above = shares[np.searchsorted(np.cumsum(weights) / weights.sum(), 0.975)]
    assert found.interval.low == 0.0
    assert found.interval.high == pytest.approx(above, abs=0.015)


def test_an_arm_that_no_share_fits_says_so():
    rng = np.random.default_rng(12)
    found = correct_tally(make_tally(0, 240), measure([80, 20, 300, 700], rng), rng)
    assert (found.share, found.interval.low, found.interval.note) == (0.0, None, MISFIT)


def test_without_labelled_events_or_answers_of_enough_questions_a_note_says_so():
    rng = np.random.default_rng(10)
    assert correct_tally(make_tally(5, 10), measure([0, 0, 3, 60], rng), rng).note == (
        "nothing to count"
    )
    few = Tally(np.zeros(10, int), np.arange(10) < 5, np.ones(10))
    found = correct_tally(few, measure([40, 10, 5, 95], rng), rng)
    assert found.share is not None
    assert (found.interval.low, found.interval.note) == (None, "too few clusters")


def test_nothing_is_no_part_of_nothing():
    nothing = CorrectedShare(0.0, np.zeros(5))
    assert divide(nothing, nothing).share is None
    assert divide(nothing, nothing).interval.note == "nothing to count"
