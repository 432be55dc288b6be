import numpy as np
import pytest

from calibration.curves import (
    OCTAVES_GRID,
    POST_GRID,
    SHORT_GRID,
    draw_counts,
    list_disturbances,
    list_peakless,
    list_peaks,
)


def has_peak(curve: np.ndarray) -> bool:
    """Say whether some value lies above one before it and one after it."""
    inner = range(1, len(curve) - 1)
    return any(curve[at] > curve[:at].min() and curve[at] > curve[at + 1 :].min() for at in inner)


@pytest.mark.parametrize("num_ranks", [6, 11])
def test_truths_without_a_peak_never_rise_and_later_fall(num_ranks: int):
    truths = list_peakless(num_ranks)
    assert {"flat", "saturating", "decreasing", "step-up", "step-down"} < set(truths)
    assert [name for name, curve in truths.items() if has_peak(curve)] == []


@pytest.mark.parametrize("grid", [OCTAVES_GRID, POST_GRID])
def test_truths_with_a_peak_rise_ten_points_and_fall_again(grid: tuple[int, ...]):
    for curve in list_peaks(grid).values():
        assert has_peak(curve)
        assert curve.max() - curve.min() == pytest.approx(0.1, abs=0.001)
    assert grid[int(np.argmax(list_peaks(grid)["peak"]))] == 32


def test_disturbances_have_the_spread_that_they_name():
    rng = np.random.default_rng(0)
    for noise in list_disturbances(len(SHORT_GRID)):
        values, _ = noise.draw(rng, 4000, np.full((3, 6), 0.3))
        within = values - values.mean(axis=2, keepdims=True)
        spread = within.std(axis=(0, 1))
        if noise.name == "equal":
            assert spread == pytest.approx(0.05 * np.sqrt(5 / 6), rel=0.05)
        elif noise.name == "rising":
            assert spread[-1] > 2 * spread[0]


def test_counts_scatter_between_finetunes_and_more_between_draws_of_questions():
    rates, noise = draw_counts(np.random.default_rng(1), 2000, np.full((4, 6), 0.3))
    of_finetunes = rates - rates.mean(axis=2, keepdims=True)
    # 0.04 of the finetune, 0.03 of sampling and a little of its own on the questions.
    assert of_finetunes.std() * np.sqrt(6 / 5) == pytest.approx(0.053, abs=0.008)
    # Questions are common to all seeds and ranks of a draw: 1.1 on the logit scale over 24.
    assert rates.mean(axis=(1, 2)).std() == pytest.approx(0.05, abs=0.015)
    assert noise == pytest.approx(rates * (1 - rates) / 240, abs=2e-4)
