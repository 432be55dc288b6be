"""The cases whose steps are timed, and how a step is told from the next."""

from itertools import pairwise

from benchmarks.scaling import FULL, differences
from benchmarks.sweep import RANKS


def test_a_step_lasts_from_one_moment_to_the_next():
    assert list(differences([1.0, 1.5, 3.5])) == [0.5, 2.0]


def test_mixed_groups_grow_by_adding_arms_and_nine_of_them_are_the_sweep():
    for smaller, larger in pairwise(FULL.mixed):
        assert larger.ranks[: len(smaller.ranks)] == smaller.ranks
    assert [len(case.ranks) for case in FULL.mixed] == [1, 2, 4, 9, 16]
    assert sorted(FULL.profiled.ranks) == list(RANKS)
