import time

import numpy as np
import pytest
from scipy import stats

from rankshift.analysis.contrast import Design
from rankshift.analysis.critical import Noise, find_critical_values, list_worst_noise


def complete(seeds: int, ranks: int, widest: int = 5) -> Design:
    return Design(((True,) * ranks,) * seeds, widest)


def find_fall(values: np.ndarray) -> float:
    """Give the largest fall between two single ranks after the first, written out: three errors."""
    seeds, ranks = values.shape
    residuals = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    pooled = (residuals**2).sum() / ((seeds - 1) * (ranks - 1))
    own = (residuals**2).sum(axis=0) / (seeds - 1)
    own = np.maximum(
        (own - pooled * (ranks - 1) / ranks**2 * ranks / (ranks - 1)) / (1 - 2 / ranks), 0
    )
    found = 0.0
    for i in range(1, ranks):
        for j in range(i + 1, ranks):
            difference = values[:, i] - values[:, j]
            variance = max(2 * pooled, difference.var(ddof=1), own[i] + own[j])
            found = max(found, difference.mean() / np.sqrt(variance / seeds))
    return found


def test_the_chance_of_a_false_peak_at_a_step_is_as_promised():
    seeds, ranks = 4, 5
    critical = find_critical_values(complete(seeds, ranks, widest=1), 0.05).peak
    rng = np.random.default_rng(2)
    falls = [find_fall(rng.standard_normal((seeds, ranks))) for _ in range(1500)]
    # Aimed at 4.5 % or less; four Monte Carlo errors of 5 % are 2.3 points.
    assert np.mean(np.array(falls) > critical) < 0.05 + 0.023
    wild = next(noise for noise in list_worst_noise(ranks) if noise.correlation == 0.0)
    falls = [find_fall(errors) for errors in wild.draw(rng, 1500, seeds)]
    assert np.mean(np.array(falls) > critical) < 0.075 + 0.027


def test_more_seeds_need_fewer_errors_and_more_ranks_need_more():
    few, many = (find_critical_values(complete(seeds, 6), 0.05) for seeds in (3, 10))
    assert few.peak > many.peak
    assert few.change > many.change
    assert (
        find_critical_values(complete(5, 9), 0.05).peak
        > find_critical_values(complete(5, 5), 0.05).peak
    )
    assert (
        find_critical_values(complete(5, 5), 0.01).peak
        > find_critical_values(complete(5, 5), 0.05).peak
    )


def test_a_false_peak_needs_less_than_any_change():
    critical = find_critical_values(complete(5, 6), 0.05)
    assert critical.best < critical.peak < critical.change


def test_the_critical_value_of_the_best_is_near_dunnetts_where_errors_are_equal():
    # With many seeds the three errors agree, so it is that of 4 comparisons with one control.
    critical = find_critical_values(complete(40, 5, widest=1), 0.05).best
    correlation = np.full((4, 4), 0.5) + 0.5 * np.eye(4)
    law = stats.multivariate_t
    chance = law.cdf(np.full(4, critical), shape=correlation, df=156)  # type: ignore[arg-type]
    assert chance == pytest.approx(0.955, abs=0.02)


def test_the_same_design_has_the_same_values_whatever_was_asked_before():
    first = find_critical_values.__wrapped__(complete(3, 4), 0.05)
    find_critical_values(complete(5, 4), 0.05)
    assert find_critical_values.__wrapped__(complete(3, 4), 0.05) == first


def test_noise_has_the_deviations_and_the_correlation_that_it_says():
    errors = Noise((1.0, 2.0, 3.0), 0.5).draw(np.random.default_rng(0), 4000, 3).reshape(-1, 3)
    assert errors.std(axis=0) == pytest.approx([1.0, 2.0, 3.0], rel=0.05)
    found = np.corrcoef(errors.T)
    assert found[0] == pytest.approx([1.0, 0.5, 0.25], abs=0.05)


def test_eleven_ranks_and_five_seeds_take_seconds_and_need_between_three_and_four_errors():
    begun = time.process_time()
    critical = find_critical_values.__wrapped__(complete(5, 11), 0.05)
    assert 3.0 < critical.peak < 4.0
    assert time.process_time() - begun < 20
