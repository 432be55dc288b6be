"""What an arm adds to a group's time, on numbers made by hand."""

import pytest

from benchmarks.growth import (
    Case,
    Cost,
    Findings,
    Timing,
    marginal_ratio,
    marginal_ratios,
    tabulate_cases,
    tabulate_profile,
)
from benchmarks.limit import Operations
from benchmarks.profiling import KINDS, Profile

ONE, TWO, FOUR = Case((8,)), Case((8, 8)), Case((8,) * 4)


def find(seconds: dict[Case, list[float]]) -> Findings:
    """Make findings of 10 operations an arm, at a rate of 20 a second."""
    return Findings(
        {case: Operations(6.0 * n, 3.0 * n, 1.0 * n) for case in seconds if (n := len(case.ranks))},
        {case: [Timing(2 * s, s) for s in rounds] for case, rounds in seconds.items()},
        [0.0],
        20.0,
        Profile(4.0, dict(zip(KINDS, (1.0, 0.5, 0.5, 0.5, 0.5, 0.0, 1.0), strict=True))),
    )


def test_an_arm_that_adds_as_much_time_as_arithmetic_costs_its_share():
    assert marginal_ratio(Cost(10.0, 3.0), Cost(20.0, 6.0)) == 1.0


def test_an_arm_is_judged_by_its_own_arithmetic_not_by_the_number_of_arms():
    # One joins with three times the operations of the group: time may rise to four times.
    assert marginal_ratio(Cost(10.0, 1.0), Cost(40.0, 4.0)) == 1.0
    assert marginal_ratio(Cost(10.0, 1.0), Cost(40.0, 7.0)) == 2.0


def test_an_arm_that_takes_a_fifth_more_than_its_share_is_at_the_bar():
    # 5 operations join 20: a quarter of the group's 8 s would be 2; 2.4 are taken.
    assert marginal_ratio(Cost(20.0, 8.0), Cost(25.0, 10.4)) == pytest.approx(1.2)


def test_what_a_group_costs_anyhow_is_not_charged_to_those_who_join():
    # 1 s for the group and 1 s for each arm: the second arm adds half of what the first took.
    assert marginal_ratio(Cost(10.0, 2.0), Cost(20.0, 3.0)) == 0.5


def test_each_group_is_compared_with_the_next_smaller_one_by_its_shortest_step():
    findings = find({ONE: [1.0, 1.5], TWO: [9.0, 2.2], FOUR: [3.3, 5.0]})
    # Two more on two: 1.1 s on 2.2, half the time for as many operations again.
    assert marginal_ratios((ONE, TWO, FOUR), findings) == pytest.approx([1.2, 0.5])


def test_the_share_of_the_rate_is_of_the_time_that_the_process_computed():
    # 20 operations in 2 s are 10 a second, of 20; the 4 s on the wall were another's too.
    assert find({TWO: [2.0]}).share(TWO) == 0.5


def test_a_table_has_the_dtypes_side_by_side_and_what_each_group_adds():
    findings = find({ONE: [1.0], TWO: [2.2]})
    lines = tabulate_cases("arms", (ONE, TWO), {ONE: "1", TWO: "2"}, {"fp32": findings})
    assert lines[1] == "| arms | fp32 GFLOP | fp32 s a step | fp32 of the rate | fp32 over share |"
    assert lines[3:] == ["| 1 | 0.0 | 1.000 | 50 % |  |", "| 2 | 0.0 | 2.200 | 45 % | 1.20 |"]


def test_a_profile_says_which_part_of_the_rate_each_kind_of_product_reaches():
    lines = tabulate_profile(TWO, {"bf16": find({TWO: [2.0]})})
    # 12, 6 and 2 operations in 1, 0.5 and 0.5 s, at a rate of 20.
    assert lines[3] == "| base products | 25 % | 60 % |"
    assert lines[4] == "| adapters' products | 12 % | 60 % |"
    assert lines[5] == "| loss and head | 12 % | 20 % |"
    assert lines[-1] == "| Python and other | 25 % |  |"
