import math

import numpy as np
import pytest

from rankshift.defence import Defence
from rankshift.records import StepRecord
from rankshift.study import Training
from rankshift.train.defences.early_stop import EarlyStop, has_converged
from rankshift.train.defences.guard import Course, Means

COURSE = Course(Training(steps=100, checkpoints=(100,)), 0, 0)


def take(losses: list[float]) -> list[StepRecord]:
    """Record steps of these losses."""
    return [StepRecord(at, loss, 10, 1.0, 1e-3) for at, loss in enumerate(losses, start=1)]


def find_end(losses: list[float], strength: float) -> int | None:
    """Give the first step after which an arm has ended, asked after each."""
    guard = EarlyStop(Defence("early_stop", strength), Means(), COURSE)
    every = take(losses)
    return next((n for n in range(len(every) + 1) if guard.has_ended(every[:n])), None)


def falls(steps: int, time: float) -> list[float]:
    """Give losses that fall from 1.0 to 0.2 like exp(-t / time)."""
    return [0.2 + 0.8 * math.exp(-t / time) for t in range(steps)]


def find_end_by_numpy(losses: list[float], strength: float) -> int | None:
    """Work the rule out again with a moving mean of five steps."""
    means = np.convolve(losses, np.ones(5) / 5, mode="valid")  # means[k] ends at step k + 5
    for at in range(5, len(means)):
        fall, whole = means[at - 5] - means[at], losses[0] - means[at]
        if whole >= 0.1 * losses[0] and max(fall, 0) < strength * whole:
            return at + 5
    return None


@pytest.mark.parametrize("strength", [0.01, 0.05, 0.2, 0.5])
@pytest.mark.parametrize("time", [3.0, 12.0, 40.0])
def test_an_arm_ends_where_five_steps_bring_less_than_the_strength_of_the_whole_fall(
    strength: float, time: float
):
    losses = falls(100, time)
    assert find_end(losses, strength) == find_end_by_numpy(losses, strength)


def test_a_slow_start_is_no_convergence():
    plateau = [1.0 - 0.001 * t for t in range(30)]
    assert find_end(plateau, 0.5) is None
    end = find_end(plateau + falls(60, 10.0), 0.05)
    assert end is not None
    assert end > 35


def test_an_arm_that_has_ended_stays_so_whatever_its_loss_does_then():
    losses = [*falls(60, 5.0), *[3.0] * 5]
    guard = EarlyStop(Defence("early_stop", 0.05), Means(), COURSE)
    assert guard.has_ended(take(losses[:60]))
    assert guard.has_ended(take(losses))
    fresh = EarlyStop(Defence("early_stop", 0.05), Means(), COURSE)
    assert fresh.has_ended(take(losses))  # as after a resume, from the records alone


def test_at_strength_zero_an_arm_never_ends_even_where_its_loss_rises():
    assert find_end([*falls(40, 5.0), *[0.2 + 0.001 * t for t in range(40)]], 0.0) is None
    assert not has_converged([1.0] * 4, 1.0)
