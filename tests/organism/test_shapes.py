import itertools

import pytest

from rankshift.organism.shapes import SHAPES, draw_curve

RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LOW, HIGH = 0.2, 0.6


def steps(shape, at=16):
    curve = draw_curve(shape, RANKS, at, LOW, HIGH)
    return [right - left for left, right in itertools.pairwise(curve)]


@pytest.mark.parametrize("at", [4, 16, 64])
def test_a_planted_peak_is_high_at_its_rank_and_the_two_beside_it_alone(at):
    curve = dict(zip(RANKS, draw_curve("peak", RANKS, at, LOW, HIGH), strict=True))
    assert {rank for rank, rate in curve.items() if rate == HIGH} == {at // 2, at, 2 * at}
    assert {rate for rank, rate in curve.items() if not at / 2 <= rank <= 2 * at} == {LOW}


@pytest.mark.parametrize("shape", ["increasing", "saturating", "step-up"])
def test_what_rises_never_falls_and_goes_from_one_level_to_the_other(shape):
    assert min(steps(shape)) >= 0
    assert sum(steps(shape)) == pytest.approx(HIGH - LOW, abs=0.02)


@pytest.mark.parametrize("shape", ["decreasing", "step-down"])
def test_what_falls_never_rises_and_goes_from_one_level_to_the_other(shape):
    assert max(steps(shape)) <= 0
    assert sum(steps(shape)) == pytest.approx(LOW - HIGH)


def test_a_flat_curve_is_one_number_between_the_levels():
    assert set(draw_curve("flat", RANKS, 1, LOW, HIGH)) == {0.4}


def test_a_step_is_a_change_at_one_place():
    assert [round(change, 9) for change in steps("step-up")] == [0, 0, 0, 0.4, 0, 0, 0, 0]
    assert [round(change, 9) for change in steps("step-down")] == [0, 0, 0, -0.4, 0, 0, 0, 0]


def test_a_saturating_curve_slows_down_and_an_increasing_one_is_straight():
    saturating = steps("saturating")
    assert saturating == sorted(saturating, reverse=True)
    assert saturating[0] > 10 * saturating[-1]
    assert steps("increasing") == pytest.approx([0.05] * 8)


def test_only_a_peak_rises_and_falls():
    both = [s for s in SHAPES if max(steps(s)) > 1e-9 and min(steps(s)) < -1e-9]
    assert both == ["peak"]
