"""How the arms of a sweep are divided among processes."""

from benchmarks.limit import find_shapes
from benchmarks.ours import arm_cost, divide
from benchmarks.sweep import RANKS, make_arm
from rankshift.organism.shelf import base_directory

ARMS = [make_arm(rank) for rank in (2, 4, 8, 16)]


def test_the_dearest_arm_is_balanced_by_the_cheap_ones():
    assert divide(ARMS, [1.0, 1.0, 1.0, 3.0], 2) == [(ARMS[3],), (ARMS[0], ARMS[1], ARMS[2])]


def test_one_process_takes_every_arm_in_order():
    assert divide(ARMS, [4.0, 3.0, 2.0, 1.0], 1) == [tuple(ARMS)]


def test_no_process_is_without_an_arm():
    assert divide(ARMS[:1], [1.0], 2) == [(ARMS[0],)]


def test_the_sweep_divides_evenly_by_its_costs():
    shapes = find_shapes(base_directory())
    arms = [make_arm(rank) for rank in RANKS]
    cost = {arm: arm_cost(arm, shapes, 576) for arm in arms}
    first, second = (
        sum(cost[arm] for arm in part) for part in divide(arms, list(cost.values()), 2)
    )
    assert max(first, second) / min(first, second) < 1.15
