import numpy as np
import pytest

from rankshift.analysis.contrast import Design, compare_blocks
from rankshift.analysis.critical import find_critical_values
from rankshift.analysis.detection import find_contrast
from rankshift.analysis.peak import Peak, find_peak
from rankshift.inference import Analysis

RANKS = (1, 4, 16, 64, 256, 1024)
RULES = Analysis()


def draw(truth: list[float], deviation: float = 0.02, seeds: int = 5, at: int = 0) -> np.ndarray:
    rng = np.random.default_rng(at)
    of_seeds = rng.normal(0, 0.1, (seeds, 1))
    return np.array(truth) + of_seeds + rng.normal(0, deviation, (seeds, len(truth)))


def decide(truth: list[float], deviation: float = 0.02, seeds: int = 5, at: int = 0) -> Peak:
    return find_peak(draw(truth, deviation, seeds, at), RANKS, RULES)


@pytest.mark.parametrize(
    ("truth", "verdict"),
    [
        ([0.2, 0.2, 0.5, 0.5, 0.2, 0.2], "peak"),
        ([0.2, 0.3, 0.4, 0.5, 0.4, 0.3], "peak"),
        ([0.05, 0.4, 0.5, 0.52, 0.53, 0.53], "increasing"),
        ([0.6, 0.5, 0.4, 0.3, 0.2, 0.1], "decreasing"),
        ([0.3, 0.3, 0.3, 0.3, 0.3, 0.3], "flat"),
        ([0.5, 0.2, 0.2, 0.2, 0.2, 0.5], "undetermined"),
    ],
)
def test_clear_curves_have_their_verdict_whatever_the_draw(truth: list[float], verdict: str):
    assert [decide(truth, at=at).verdict for at in range(5)] == [verdict] * 5


def test_a_saturating_curve_is_hardly_ever_a_peak_and_a_quadratic_would_see_one():
    truth = [0.05, 0.4, 0.5, 0.52, 0.53, 0.53]
    found = [decide(truth, 0.04, at=at) for at in range(200)]
    assert sum(peak.verdict == "peak" for peak in found) < 200 * 0.05 + 4 * np.sqrt(
        200 * 0.05 * 0.95
    )
    # The test that this one replaces: a falling square term with the top inside the grid.
    octaves = np.arange(6.0)
    square, slope, _ = np.polyfit(octaves, np.array([peak.estimates for peak in found]).T, 2)
    top = -slope / (2 * square)
    assert np.mean((square < 0) & (top > 0) & (top < 5)) > 0.9


def test_the_statistic_and_the_best_ranks_come_from_their_own_modules():
    values = draw([0.2, 0.2, 0.5, 0.5, 0.2, 0.2])
    design = Design(((True,) * 6,) * 5, RULES.widest_block)
    expected = find_contrast(compare_blocks(values, design).ratio, design)
    found = find_peak(values, RANKS, RULES)
    assert found.statistic == pytest.approx(expected.max())
    assert found.critical_value == find_critical_values(design, 0.05).peak
    assert found.confidence_set == (16, 64)
    assert found.rise is not None
    assert found.fall is not None
    assert found.rise.right == found.fall.left == (16, 64)
    assert found.rise.difference == pytest.approx(0.3, abs=0.05)
    assert found.fall.difference == pytest.approx(-0.3, abs=0.05)
    assert min(found.rise.ratio, -found.fall.ratio) == pytest.approx(found.statistic)


def test_what_seeds_share_is_taken_out():
    values = draw([0.2, 0.2, 0.5, 0.5, 0.2, 0.2])
    shift = np.array([[0.3], [-0.2], [0.1], [0.0], [0.2]])
    moved, plain = (find_peak(v, RANKS, RULES) for v in (values + shift, values))
    assert moved.statistic == pytest.approx(plain.statistic)
    assert moved.verdict == plain.verdict


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([[0.1, 0.9, 0.1, 0.1, 0.1, 0.1]]), "one seed per rank"),
        (np.diag([0.1] * 6) + np.where(np.eye(6) > 0, 0, np.nan), "one seed per rank"),
        (draw([0.2] * 6, seeds=2), "fewer than 3 seeds that share ranks"),
        (
            np.where(np.arange(6) < 2, draw([0.2] * 6), np.nan),
            "fewer than 3 ranks",
        ),
        (
            np.where(np.arange(6) < 2, draw([0.2] * 6, seeds=1), np.nan),
            "one seed per rank and fewer than 3 ranks",
        ),
    ],
)
def test_too_little_is_said_to_be_so(values: np.ndarray, reason: str):
    found = find_peak(values, RANKS, RULES)
    assert (found.verdict, found.reason, found.statistic) == ("undetermined", reason, None)
    assert found.confidence_set == found.ranks


def test_ranks_and_seeds_without_a_value_are_no_part_of_the_test():
    values = draw([0.2, 0.2, 0.5, 0.5, 0.2, 0.2])
    padded = np.full((7, 7), np.nan)
    padded[1:6, 1:7] = values
    found = find_peak(padded, (1, 2, 4, 8, 16, 32, 64), RULES)
    assert (found.seeds, found.ranks) == (5, (2, 4, 8, 16, 32, 64))
    assert found.statistic == pytest.approx(find_peak(values, found.ranks, RULES).statistic)


def test_missing_values_still_give_a_verdict():
    values = draw([0.2, 0.2, 0.5, 0.5, 0.2, 0.2])
    values[0, 1] = values[3, 4] = values[4, 2] = np.nan
    assert find_peak(values, RANKS, RULES).verdict == "peak"


def test_rates_that_agree_by_chance_are_not_flat_on_few_answers():
    nothing = np.zeros((3, 6))
    noise = np.full((3, 6), 0.5 / 6 * 5.5 / 6 / 5)  # no event in five answers
    assert find_peak(nothing, RANKS, RULES, noise).verdict == "undetermined"
    assert find_peak(nothing, RANKS, RULES, noise / 100).verdict == "flat"


def test_an_undetermined_verdict_says_what_would_have_been_seen():
    found = decide([0.2, 0.2, 0.25, 0.25, 0.2, 0.2], 0.08)
    assert found.verdict == "undetermined"
    assert found.reason == "no difference between ranks is beyond chance"
    assert found.smallest_peak is not None
    assert 0.1 < found.smallest_peak < 0.4


def test_a_rise_with_a_fall_that_is_not_excluded_is_not_increasing():
    found = decide([0.05, 0.5, 0.5, 0.5, 0.5, 0.45], 0.06, at=1)
    assert found.verdict == "undetermined"
    assert found.reason == "it rises, but a later fall is not excluded"
    assert found.largest_down is not None
    assert found.largest_down > RULES.margin


def test_a_wider_margin_excludes_less_so_more_is_flat():
    values = draw([0.2] * 6, 0.05)
    verdicts = [find_peak(values, RANKS, Analysis(margin=margin)).verdict for margin in (0.05, 0.4)]
    assert verdicts == ["undetermined", "flat"]
