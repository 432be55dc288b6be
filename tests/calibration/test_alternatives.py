import numpy as np
import pytest
from scipy import stats

from calibration.alternatives import (
    bound_by_logit_of_mean,
    bound_by_logits_of_seeds,
    bound_by_paired_t,
    bound_without_prior,
)
from rankshift.analysis.crossed import cross_seeds_and_questions
from rankshift.analysis.intervals import exact_interval


def test_the_interval_by_logits_of_seeds_is_students_t_of_them():
    events, sizes = np.array([20, 60, 45, 80]), np.full(4, 100)
    logits = np.log((events + 0.5) / (sizes - events + 0.5))
    low, high = stats.ttest_1samp(logits, 0.0).confidence_interval(0.95)
    found = bound_by_logits_of_seeds(events, sizes)
    assert found == pytest.approx((1 / (1 + np.exp(-low)), 1 / (1 + np.exp(-high))))


def test_the_interval_by_the_logit_of_the_mean_has_the_crossed_variance():
    events = np.array([[1, 4, 2, 7, 0], [2, 6, 3, 8, 1], [0, 3, 3, 9, 2]])
    crossed = cross_seeds_and_questions(events, np.full((3, 5), 10))
    low, high = bound_by_logit_of_mean(events, np.full((3, 5), 10))
    rate = events.mean() / 10
    width = np.log(high / (1 - high)) - np.log(low / (1 - low))
    error = np.sqrt(crossed.variance) / (rate * (1 - rate))
    assert width == pytest.approx(2 * stats.t.ppf(0.975, crossed.degrees) * error)


def test_without_the_prior_answers_that_are_no_events_pass_for_independent():
    low, high = bound_without_prior(np.zeros(8), np.full(8, 50))
    ratio = stats.t.ppf(0.975, 399) / stats.t.ppf(0.975, 7)
    assert (low, high) == (0.0, pytest.approx(exact_interval(0.0, 400 * float(ratio) ** 2).high))


def test_the_paired_interval_is_students_t_of_the_differences():
    task, twin = np.array([0.2, 0.5, 0.3]), np.array([0.1, 0.2, 0.1])
    low, high = stats.ttest_rel(task, twin).confidence_interval(0.95)
    assert bound_by_paired_t(task, twin) == pytest.approx((low, high))
