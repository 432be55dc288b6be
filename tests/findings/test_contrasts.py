import numpy as np
import pytest
from scipy.stats import ttest_1samp

from findings.contrasts import (
    Cell,
    Estimate,
    Weights,
    average,
    estimate_contrast,
    estimate_mean,
    subtract,
)

ONE, TWO, THREE = (Cell(rank, 0.01, "end") for rank in (1, 2, 4))


def spread(cell_means: dict[Cell, float], seeds: int = 3) -> dict:
    """Rates that rise by a point a seed, on two bases, the second 20 points higher."""
    return {
        cell: {
            (base, seed): mean + shift + seed / 100
            for base, shift in (("a", 0.0), ("b", 0.2))
            for seed in range(seeds)
        }
        for cell, mean in cell_means.items()
    }


def estimate(rates: dict, weights: Weights) -> tuple[Estimate, dict[str, Estimate]]:
    found = estimate_contrast(rates, weights)
    assert found is not None
    return found


def test_the_interval_of_a_mean_is_that_of_a_t_test():
    values = [0.1, 0.3, 0.25, 0.2]
    found = estimate_mean(values)
    wanted = ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    assert found.mean == pytest.approx(np.mean(values))


def test_one_value_excludes_nothing():
    found = estimate_mean([0.5])
    assert (found.low, found.high, found.verdict) == (-np.inf, np.inf, "undetermined")


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.20, 0.21, 0.22], "above"),
        ([-0.20, -0.21, -0.22], "below"),
        ([0.01, -0.01, 0.02], "within"),
        ([0.05, 0.10, 0.15], "undetermined"),
        ([0.30, -0.30, 0.10], "undetermined"),
    ],
)
def test_a_verdict_needs_the_whole_interval(values, verdict):
    assert estimate_mean(values).verdict == verdict


def test_a_contrast_is_taken_within_seeds_so_what_a_base_and_a_seed_share_falls_out():
    rates = spread({ONE: 0.4, TWO: 0.1, THREE: 0.2})
    overall, bases = estimate(rates, subtract(average([ONE]), average([TWO, THREE])))
    for found in (overall, *bases.values()):
        assert (found.mean, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))
    assert list(bases) == ["a", "b"]


def test_a_seed_that_lacks_a_cell_is_left_out_and_a_base_without_seeds_too():
    rates = spread({ONE: 0.4, TWO: 0.1})
    del rates[ONE]["a", 0]
    rates[TWO] = {place: rate for place, rate in rates[TWO].items() if place[0] == "a"}
    overall, bases = estimate(rates, subtract(average([ONE]), average([TWO])))
    assert list(bases) == ["a"]
    assert overall.low == -np.inf
    assert estimate_contrast(rates, subtract(average([ONE]), average([THREE]))) is None


def test_intervals_over_bases_cover_the_mean_of_the_population_of_bases():
    rng, covered = np.random.default_rng(3), 0
    for _ in range(1000):
        bases = 0.2 + 0.05 * rng.standard_normal(3)
        rates = {
            cell: {
                (name, seed): shift * base + 0.03 * rng.standard_normal()
                for name, base in zip("abc", bases, strict=True)
                for seed in range(5)
            }
            for cell, shift in ((ONE, 1.0), (TWO, 0.0))
        }
        overall, _ = estimate(rates, subtract(average([ONE]), average([TWO])))
        covered += overall.low <= 0.2 <= overall.high
    assert 930 <= covered <= 970
