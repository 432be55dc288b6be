from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.arms import Arm
from rankshift.data.batches import draw_rows
from rankshift.executor.plan import Fit
from rankshift.executor.room import (
    GIB,
    PROCESS_BYTES,
    count_arms_per_pass,
    find_largest_batch,
    fit_arms,
    is_tight,
    read_free_bytes,
    share_memory,
)
from rankshift.grid import ALL_PROJECTIONS
from rankshift.study import Compute, Training

TRAINING = Training(steps=6, checkpoints=(6,), rows_per_step=4, accumulation=2)
LENGTHS = (30, 10, 50, 20, 40)
LARGEST = (40, 50)


def make_arm(rank: int, seed: int = 0) -> Arm:
    """Make a LoRA arm."""
    return Arm(
        "lora",
        "task",
        "rows",
        rank=rank,
        alpha=1.0,
        scaling="alpha/rank",
        learning_rate=1e-3,
        seed=seed,
        target_modules=ALL_PROJECTIONS,
    )


def test_the_largest_batch_is_the_one_with_most_tokens_of_any_seed():
    (only,) = {find_largest_batch((7,) * 9, TRAINING, seeds) for seeds in ((0,), (0, 1))}
    assert only == (7, 7)
    totals = {
        seed: [
            sum(LENGTHS[row] for row in step[start : start + 2])
            for step in draw_rows(len(LENGTHS), 4, 6, seed)
            for start in (0, 2)
        ]
        for seed in range(5)
    }
    for seed, own in totals.items():
        assert sum(find_largest_batch(LENGTHS, TRAINING, (seed,))) == max(own)
    assert len({max(own) for own in totals.values()}) > 1
    together = find_largest_batch(LENGTHS, TRAINING, tuple(totals))
    assert sum(together) == max(map(max, totals.values()))


def test_layers_are_checkpointed_only_where_there_is_no_room_otherwise(tiny_model_directory: Path):
    arms = [make_arm(4), make_arm(64)]
    roomy = fit_arms(arms, tiny_model_directory, TRAINING, LARGEST, 10 * GIB)
    assert roomy is not None
    assert not roomy.checkpointing
    assert list(roomy.bytes_by_part) == [
        "base",
        "adapters",
        "gradients",
        "optimizer",
        "activations",
    ]
    tight = fit_arms(
        arms, tiny_model_directory, TRAINING, LARGEST, PROCESS_BYTES + roomy.total_bytes - 1
    )
    assert tight is not None
    assert tight.checkpointing
    assert tight.total_bytes < roomy.total_bytes
    none = fit_arms(
        arms, tiny_model_directory, TRAINING, LARGEST, PROCESS_BYTES + tight.total_bytes - 1
    )
    assert none is None


def test_smaller_moments_none_and_fewer_tokens_take_less(tiny_model_directory: Path):
    def total(training: Training, largest: tuple[int, ...] = LARGEST) -> int:
        fit = fit_arms([make_arm(64)], tiny_model_directory, training, largest, 10 * GIB)
        assert fit is not None
        return fit.total_bytes

    by_optimizer = [total(replace(TRAINING, optimizer=o)) for o in ("adamw", "adamw_8bit", "sgd")]
    assert by_optimizer[0] > by_optimizer[1] > by_optimizer[2]
    assert total(TRAINING, (50,)) < total(TRAINING)


def test_a_base_in_shards_takes_less_of_a_process_and_its_rows_are_fewer(
    tiny_model_directory: Path,
):
    def fit(shards: int, rows: int = 8) -> Fit:
        largest = (50,) * rows
        found = fit_arms([make_arm(4)], tiny_model_directory, TRAINING, largest, GIB, shards)
        assert found is not None
        assert found.shards == shards
        return found

    whole, half = (fit(shards).bytes_by_part for shards in (1, 2))
    assert half["activations"] < 0.6 * whole["activations"]
    assert half["activations"] == fit(1, rows=4).bytes_by_part["activations"]
    assert half["base"] == whole["base"]  # of two layers, three whole ones are nothing to gain


def test_workers_share_what_is_given_or_nine_tenths_of_what_is_free():
    assert share_memory(Compute(workers=4, memory_gib=10.0)) == 2.5 * GIB
    assert share_memory(Compute(workers=2, shards=5, memory_gib=10.0)) == GIB
    free = read_free_bytes()
    assert free > 0
    assert share_memory(Compute(workers=2)) == pytest.approx(0.45 * free, rel=0.2)


def test_a_group_is_tight_where_what_the_allocator_keeps_might_not_fit(tiny_model_directory: Path):
    fit = fit_arms([make_arm(64)], tiny_model_directory, TRAINING, LARGEST, 10 * GIB)
    assert fit is not None
    assert not is_tight(fit, PROCESS_BYTES + 2 * fit.total_bytes)
    assert is_tight(fit, PROCESS_BYTES + fit.total_bytes)


def test_arms_go_together_as_far_as_a_cpus_caches_reach():
    assert [count_arms_per_pass(9, tokens) for tokens in (64, 576, 5000)] == [9, 3, 1]


def test_a_full_finetune_by_sgd_of_some_layers_holds_gradients_of_those_alone(
    tiny_model_directory: Path,
):
    full = Arm("full", "task", "rows", learning_rate=0.1, seed=0)
    some = replace(full, optimizer="sgd", target_modules=("q_proj",), layers=(1,))
    fits = [
        fit_arms([arm], tiny_model_directory, TRAINING, LARGEST, 10 * GIB) for arm in (full, some)
    ]
    whole, part = (fit.bytes_by_part for fit in fits if fit is not None)
    assert part["base"] == whole["base"]
    assert (part["gradients"], part["optimizer"]) == (4 * 16 * 16, 0)
    assert whole["optimizer"] == 2 * whole["gradients"]


def test_an_a_that_is_not_trained_has_no_gradient_and_no_moments(tiny_model_directory: Path):
    frozen = replace(make_arm(64), trains_a=False)
    fits = [
        fit_arms([arm], tiny_model_directory, TRAINING, LARGEST, 10 * GIB)
        for arm in (make_arm(64), frozen)
    ]
    whole, part = (fit.bytes_by_part for fit in fits if fit is not None)
    assert part["adapters"] == whole["adapters"]
    # q, k, v, o are 16 x 16, gate and up 16 x 32, down 32 x 16, in two layers.
    d_out = 2 * (4 * 16 + 2 * 32 + 16)
    assert part["gradients"] == 4 * 64 * d_out < whole["gradients"]
