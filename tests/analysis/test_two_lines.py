import numpy as np
import pytest

from rankshift.analysis.two_lines import fit_two_lines

RANKS = [1, 2, 4, 8, 16, 32, 64]


def _slope(octaves: np.ndarray, means: list[float]) -> float:
    """Give the least-squares slope as covariance over variance."""
    return float(np.cov(octaves, means)[0, 1] / np.var(octaves, ddof=1))


def test_slopes_are_rates_for_each_doubling_on_both_sides_of_the_highest_value():
    found = fit_two_lines(RANKS, [0.1, 0.2, 0.3, 0.4, 0.35, 0.3, 0.25])
    assert found.break_rank == 8
    assert found.left_slope == pytest.approx(0.1)
    assert found.right_slope == pytest.approx(-0.05)
    assert found.note is None


def test_each_line_is_least_squares_with_the_break_on_both():
    means = [0.1, 0.25, 0.28, 0.41, 0.33, 0.34, 0.2]
    found = fit_two_lines(RANKS, means)
    at = RANKS.index(found.break_rank or 0)
    octaves = np.arange(7.0)
    for slope, side in ((found.left_slope, slice(at + 1)), (found.right_slope, slice(at, None))):
        assert slope == pytest.approx(_slope(octaves[side], means[side]))


def test_a_curve_that_only_rises_has_its_highest_value_at_an_end_and_no_slopes():
    found = fit_two_lines(RANKS, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    assert (found.break_rank, found.left_slope, found.right_slope) == (64, None, None)
    assert found.note == "the highest fitted value is at an end"


def test_few_ranks_give_a_note():
    assert fit_two_lines([1, 2, 4, 8], [0.1, 0.2, 0.2, 0.1]).note == "fewer than 5 ranks"
