from pathlib import Path

import pytest

from rankshift.executor.vllm.buckets import (
    ADAPTERS_A_CALL,
    ANSWERS_A_CALL,
    CEILINGS,
    Bucket,
    Due,
    choose_kind,
    divide_due,
    fill_buckets,
)


def adapter(rank: int, step: int = 8) -> Due:
    """Give an adapter that is due."""
    return Due(f"a{rank}", f"rank {rank}", step, choose_kind(rank), Path(f"{rank}"), rank)


@pytest.mark.parametrize(("rank", "ceiling"), [(1, 8), (8, 8), (9, 16), (257, 320), (512, 512)])
def test_an_adapter_goes_to_the_lowest_ceiling_that_holds_it(rank: int, ceiling: int):
    assert fill_buckets([adapter(rank)]) == [Bucket((adapter(rank),), ceiling)]


def test_adapters_beyond_the_highest_ceiling_are_merged_and_run_alone():
    assert CEILINGS[-1] == 512
    over = [adapter(513), adapter(1000)]
    assert [one.kind for one in over] == ["merged", "merged"]
    assert fill_buckets(over) == [Bucket((one,), None) for one in over]


def test_every_arm_is_in_one_bucket_and_the_base_in_none_with_adapters():
    base = Due("b", "base", 0, "base")
    full = [Due("f", "full", step, "model", Path("f")) for step in (4, 8)]
    due = [full[0], adapter(2), base, adapter(64), adapter(600), adapter(4), full[1]]
    buckets = fill_buckets(due)
    assert sorted(one.key for bucket in buckets for one in bucket.due) == sorted(
        one.key for one in due
    )
    assert [(b.max_rank, [one.label for one in b.due]) for b in buckets] == [
        (None, ["base"]),
        (8, ["rank 2", "rank 4"]),
        (64, ["rank 64"]),
        (None, ["full"]),
        (None, ["rank 600"]),
        (None, ["full"]),
    ]


def test_checkpoints_of_an_arm_have_names_of_their_own():
    assert adapter(8, 4).key != adapter(8, 8).key


def test_a_call_ends_when_it_has_enough_answers_or_adapters_and_leaves_nobody_out():
    due = [adapter(8, step) for step in range(40)]
    many = list(divide_due(due, [ANSWERS_A_CALL // 2] * 40))
    assert many == [range(at, at + 2) for at in range(0, 40, 2)]
    few = list(divide_due(due, [1] * 40))
    assert few == [range(16), range(16, 32), range(32, 40)]
    assert ADAPTERS_A_CALL == 16
    assert list(divide_due(due[:1], [10 * ANSWERS_A_CALL])) == [range(1)]
