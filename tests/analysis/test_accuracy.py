import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from rankshift.analysis.accuracy import NO_BETTER_THAN_CHANCE, Label, measure_accuracy

NUM_SIMULATED = 200
FOUR_ERRORS = 4 * math.sqrt(0.95 * 0.05 / NUM_SIMULATED)


def make_labels(counts: Sequence[int], weight: float = 1.0) -> list[Label]:
    """Make labels, each its own cluster, from counts of found, missed, false and true negatives."""
    kinds = [(True, True), (True, False), (False, True), (False, False)]
    pairs = [kind for kind, number in zip(kinds, counts, strict=True) for _ in range(number)]
    return [Label(f"{counts}{at}", *pair, weight) for at, pair in enumerate(pairs)]


def test_sensitivity_and_specificity_are_shares_of_the_reference():
    accuracy = measure_accuracy(make_labels([40, 10, 5, 95]), np.random.default_rng(0))
    assert (accuracy.events.share, accuracy.others.share) == (0.8, 0.95)
    textbook = stats.binomtest(40, 50).proportion_ci(method="exact")
    exact = accuracy.events.exact_interval()
    assert (exact.low, exact.high) == pytest.approx((textbook.low, textbook.high))
    clustered = accuracy.events.clustered_interval()
    assert (clustered.low, clustered.high) == pytest.approx((textbook.low, textbook.high))


def test_draws_are_jeffreys_interval_of_each_share():
    accuracy = measure_accuracy(make_labels([40, 10, 5, 95]), np.random.default_rng(0))
    for draws, (hits, others) in zip(accuracy.draws, [(40, 10), (95, 5)], strict=True):
        ends = stats.beta(hits + 0.5, others + 0.5).ppf([0.025, 0.975])
        assert np.quantile(draws, [0.025, 0.975]) == pytest.approx(ends, abs=0.005)


def test_answers_that_repeat_their_question_widen_the_clustered_interval_alone():
    labels = [Label(f"q{at // 20}", True, at // 20 < 8) for at in range(200)]
    tally = measure_accuracy(labels, np.random.default_rng(0)).events
    exact, clustered = tally.exact_interval(), tally.clustered_interval()
    # 8 of 10 questions.
    assert clustered.low < stats.binomtest(8, 10).proportion_ci(method="exact").low < exact.low  # type: ignore[operator]
    assert tally.effective_answers < 10


def draw_population(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw 6,000 answers of 60 questions: truth, call and question; 5 % are events."""
    questions = rng.integers(60, size=6000)
    truth = rng.random(6000) < rng.beta(1, 19, size=60)[questions]
    called = rng.random(6000) < np.where(truth, 0.8, 0.06)
    return truth, called, questions


def sample_by_call(
    rng: np.random.Generator, truth: np.ndarray, called: np.ndarray, questions: np.ndarray
) -> list[Label]:
    """Label 120 of the answers called events and 120 of the others, with their weights."""
    labels = []
    for stratum in (called, ~called):
        places = np.flatnonzero(stratum)
        for at in rng.choice(places, 120, replace=False):
            row = f"q{questions[at]}", bool(truth[at]), bool(called[at]), len(places) / 120
            labels.append(Label(*row))
    return labels


def test_a_sample_by_what_the_judge_said_is_weighed_back():
    rng = np.random.default_rng(6)
    errors, naive_errors, covered = [], [], np.zeros(2)
    for _ in range(NUM_SIMULATED):
        population = draw_population(rng)
        labels = sample_by_call(rng, *population)
        truth, called, _ = population
        actual = called[truth].mean(), 1 - called[~truth].mean()
        accuracy = measure_accuracy(labels, rng, 2000)
        assert accuracy.events.share is not None
        errors.append(accuracy.others.share - actual[1])  # type: ignore[operator]
        called_events = [label.is_called for label in labels if label.is_event]
        naive_errors.append(float(np.mean(called_events)) - actual[0])
        for which, draws in enumerate(accuracy.draws):
            low, high = np.quantile(draws, [0.025, 0.975])
            covered[which] += low <= actual[which] <= high
    # Without weights nearly every event in the sample is one the judge called.
    assert abs(np.mean(errors)) < 0.003
    assert np.mean(naive_errors) > 0.1
    assert np.all(covered / NUM_SIMULATED >= 0.95 - FOUR_ERRORS)


def test_a_sample_without_one_missed_event_leaves_room_for_some():
    # 2000 answers were called events, 40 of them read; of 8000 others 40 were read: no event.
    found = make_labels([40, 0, 0, 0], 50.0)
    passed = make_labels([0, 0, 0, 40], 200.0)
    accuracy = measure_accuracy(found + passed, np.random.default_rng(7))
    assert accuracy.events.share == 1.0
    # Up to 3.69 of 40 by the exact bound, so up to 700 missed beside 2000 found.
    low = float(np.quantile(accuracy.draws[0], 0.025))
    assert 0.72 < low < 0.88


def test_a_judge_that_guesses_is_found_out():
    accuracy = measure_accuracy(make_labels([10, 10, 50, 50]), np.random.default_rng(8))
    assert accuracy.fault == NO_BETTER_THAN_CHANCE


def test_without_events_there_is_no_sensitivity():
    accuracy = measure_accuracy(make_labels([0, 0, 3, 60]), np.random.default_rng(10))
    assert accuracy.events.share is None
    assert accuracy.fault == "nothing to count"
    assert accuracy.events.exact_interval().note == "nothing to count"
    assert accuracy.events.clustered_interval().low is None


def test_the_same_generator_gives_the_same_draws():
    labels = make_labels([40, 10, 5, 95])
    first, again = (measure_accuracy(labels, np.random.default_rng(3)).draws for _ in range(2))
    assert np.array_equal(first, again)
