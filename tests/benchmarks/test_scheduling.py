"""Ten thousand arms through the real planner and the real hand-out, on a clock that is not real."""

import pytest

from benchmarks.scheduling import count_seconds, list_arms, simulate


def test_there_are_a_hundred_arms_a_seed():
    arms = list_arms(3)
    assert len(arms) == 301
    assert count_seconds(next(arm for arm in arms.values() if arm.method == "full")) > 0


def test_ten_thousand_arms_are_planned_and_handed_out_in_seconds_and_workers_are_never_long_idle():
    outcome = simulate(100, 64)
    assert outcome.arms == 10_001
    assert outcome.steps == 1000 * outcome.arms
    assert 1.0 <= outcome.makespan / outcome.bound < 1.02
    assert outcome.plan_seconds + outcome.hand_out_seconds < 30


@pytest.mark.parametrize("loss", [0.2, 0.5])
def test_lost_workers_cost_time_and_no_step_is_lost_or_told_twice(loss: float):
    outcome = simulate(3, 8, loss)
    assert outcome.steps == 1000 * outcome.arms
    assert outcome.makespan > simulate(3, 8).makespan
