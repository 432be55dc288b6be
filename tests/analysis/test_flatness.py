import numpy as np
import pytest
from scipy import stats

from rankshift.analysis.contrast import Design, compare_blocks
from rankshift.analysis.flatness import bound_change, check_flatness

DESIGN = Design(((True,) * 4,) * 5, 2)


def draw(truth: list[float], deviation: float, rng: np.random.Generator) -> np.ndarray:
    return np.array(truth) + rng.normal(0, 0.1, (5, 1)) + rng.normal(0, deviation, (5, 4))


def list_errors(values: np.ndarray) -> dict[tuple[int, int], tuple[float, float]]:
    """Give difference and error of each two ranks, later minus earlier, by the comparison alone."""
    comparison = compare_blocks(values, DESIGN)
    found = {}
    for at, (left, right) in enumerate(DESIGN.pairs):
        (a, b), (c, d) = DESIGN.blocks[left], DESIGN.blocks[right]
        if b - a == d - c == 1:
            found[a, c] = (float(comparison.difference[at]), float(comparison.error[at]))
    return found


def test_the_p_value_is_the_largest_of_all_pairs_and_both_sides():
    values = draw([0.3, 0.32, 0.28, 0.3], 0.02, np.random.default_rng(0))
    found = check_flatness(compare_blocks(values, DESIGN), DESIGN, 0.1, 0.05)
    one_sided = [
        max(stats.t.sf((difference + 0.1) / error, 12), stats.t.cdf((difference - 0.1) / error, 12))
        for difference, error in list_errors(values).values()
    ]
    assert len(one_sided) == 6
    assert found.p_value == pytest.approx(max(one_sided))
    assert found.is_flat == (found.p_value <= 0.05)


def test_a_curve_whose_ends_differ_by_the_margin_is_seldom_called_flat():
    rng = np.random.default_rng(1)
    called = [
        check_flatness(
            compare_blocks(draw([0.2, 0.25, 0.25, 0.3], 0.02, rng), DESIGN), DESIGN, 0.1, 0.05
        ).is_flat
        for _ in range(500)
    ]
    assert np.mean(called) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 500)


def test_a_flat_curve_with_small_errors_is_flat_and_with_large_ones_is_not():
    rng = np.random.default_rng(2)
    for deviation, is_flat in ((0.005, True), (0.2, False)):
        values = draw([0.3] * 4, deviation, rng)
        assert check_flatness(compare_blocks(values, DESIGN), DESIGN, 0.1, 0.05).is_flat == is_flat


def test_the_largest_fall_and_rise_are_bounded_one_pair_at_a_time():
    values = draw([0.1, 0.5, 0.4, 0.45], 0.03, np.random.default_rng(3))
    comparison = compare_blocks(values, DESIGN)
    quantile = stats.t.ppf(0.95, 12)
    pairs = list_errors(values).values()
    rises = [difference + quantile * error for difference, error in pairs]
    falls = [-difference + quantile * error for difference, error in pairs]
    assert bound_change(comparison, DESIGN, 0.05, rises=True) == pytest.approx(max(rises))
    assert bound_change(comparison, DESIGN, 0.05, rises=False) == pytest.approx(max(falls))


def test_nothing_is_excluded_where_two_ranks_were_not_compared():
    design = Design(((True, True, False), (True, True, True), (True, True, False)), 1)
    values = np.random.default_rng(4).normal(0.3, 0.001, (3, 3))
    comparison = compare_blocks(values, design)
    assert check_flatness(comparison, design, 0.1, 0.05).p_value == 1.0
    assert bound_change(comparison, design, 0.05, rises=True) is None


def test_no_error_at_all_leaves_the_difference_to_decide():
    values = np.tile([0.1, 0.1, 0.15, 0.1], (5, 1))
    comparison = compare_blocks(values, DESIGN)
    assert check_flatness(comparison, DESIGN, 0.1, 0.05).p_value < 1e-12
    assert check_flatness(comparison, DESIGN, 0.04, 0.05).p_value > 1 - 1e-12
