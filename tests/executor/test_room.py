from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rankshift.arms import Arm
from rankshift.data.batches import draw_rows
from rankshift.errors import UserError
from rankshift.executor.plan import Fit
from rankshift.executor.room import (
    GIB,
    LEAST_GPU_TOKENS,
    PROCESS_BYTES,
    Room,
    count_arms_per_pass,
    find_largest_batch,
    find_room,
    fit_arms,
    is_tight,
    list_ways,
    read_free_bytes,
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
    roomy = fit_arms(arms, tiny_model_directory, TRAINING, LARGEST, Room(10 * GIB))
    assert roomy is not None
    assert not roomy.checkpointing
    assert list(roomy.bytes_by_part) == [
        "base",
        "adapters",
        "gradients",
        "optimizer",
        "activations",
    ]
    less = Room(PROCESS_BYTES + roomy.total_bytes - 1)
    tight = fit_arms(arms, tiny_model_directory, TRAINING, LARGEST, less)
    assert tight is not None
    assert tight.checkpointing
    assert tight.total_bytes < roomy.total_bytes
    least = Room(PROCESS_BYTES + tight.total_bytes - 1)
    assert fit_arms(arms, tiny_model_directory, TRAINING, LARGEST, least) is None


def test_smaller_moments_none_and_fewer_tokens_take_less(tiny_model_directory: Path):
    def total(training: Training, largest: tuple[int, ...] = LARGEST) -> int:
        fit = fit_arms([make_arm(64)], tiny_model_directory, training, largest, Room(10 * GIB))
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
        found = fit_arms([make_arm(4)], tiny_model_directory, TRAINING, largest, Room(GIB), shards)
        assert found is not None
        assert found.shards == shards
        return found

    whole, half = (fit(shards).bytes_by_part for shards in (1, 2))
    assert half["activations"] < 0.6 * whole["activations"]
    assert half["activations"] == fit(1, rows=4).bytes_by_part["activations"]
    assert half["base"] == whole["base"]  # of two layers, three whole ones are nothing to gain


def test_workers_share_what_is_given_or_nine_tenths_of_what_is_free():
    assert find_room(Compute(device="cpu", workers=4, memory_gib=10.0)) == Room(int(2.5 * GIB))
    assert find_room(Compute(workers=2, shards=5, memory_gib=10.0)) == Room(GIB)
    free = read_free_bytes()
    assert free > 0
    found = find_room(Compute(device="cpu", workers=2))
    assert found.bytes == pytest.approx(0.45 * free, rel=0.2)


def test_on_gpus_workers_share_what_is_given_of_theirs():
    found = find_room(Compute(device="cuda", workers=4, memory_gib=320.0))
    assert found == Room(80 * GIB, "cuda")
    assert str(found) == "80.0 on its GPU"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to ask")
def test_groups_for_gpus_elsewhere_want_to_be_told_their_memory():
    with pytest.raises(UserError, match=r"set compute\.memory_gib to what the GPUs of all workers"):
        find_room(Compute(device="cuda", executor="ray"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU")
def test_workers_of_one_gpu_share_nine_tenths_of_what_is_free_on_it():
    free, _ = torch.cuda.mem_get_info()
    found = find_room(Compute(workers=3))
    assert found.device == "cuda"
    assert found.bytes == pytest.approx(0.3 * free, rel=0.05)


def test_a_group_is_tight_where_what_the_allocator_keeps_might_not_fit(tiny_model_directory: Path):
    fit = fit_arms([make_arm(64)], tiny_model_directory, TRAINING, LARGEST, Room(10 * GIB))
    assert fit is not None
    assert not is_tight(fit, Room(PROCESS_BYTES + 2 * fit.total_bytes))
    assert is_tight(fit, Room(PROCESS_BYTES + fit.total_bytes))


def test_arms_go_together_as_far_as_a_cpus_caches_reach():
    assert [count_arms_per_pass(9, tokens) for tokens in (64, 576, 5000)] == [9, 3, 1]


def test_on_a_gpu_arms_go_together_as_far_as_memory_allows_then_layers_are_computed_again():
    ways = list_ways(9, LEAST_GPU_TOKENS // 4, "cuda")
    assert ways == [
        *((9, False), (5, False)),  # 3 at a time would be too few tokens
        *((9, True), (5, True), (3, True), (2, True), (1, True)),
    ]
    assert list_ways(1, 1, "cuda") == [(1, False), (1, True)]
    assert list_ways(9, 576, "cpu") == [(3, False), (3, True)]


def test_a_full_finetune_by_sgd_of_some_layers_holds_gradients_of_those_alone(
    tiny_model_directory: Path,
):
    full = Arm("full", "task", "rows", learning_rate=0.1, seed=0)
    some = replace(full, optimizer="sgd", target_modules=("q_proj",), layers=(1,))
    roomy = Room(10 * GIB)
    fits = [fit_arms([arm], tiny_model_directory, TRAINING, LARGEST, roomy) for arm in (full, some)]
    whole, part = (fit.bytes_by_part for fit in fits if fit is not None)
    assert part["base"] == whole["base"]
    assert (part["gradients"], part["optimizer"]) == (4 * 16 * 16, 0)
    assert whole["optimizer"] == 2 * whole["gradients"]


def test_an_a_that_is_not_trained_has_no_gradient_and_no_moments(tiny_model_directory: Path):
    frozen = replace(make_arm(64), trains_a=False)
    fits = [
        fit_arms([arm], tiny_model_directory, TRAINING, LARGEST, Room(10 * GIB))
        for arm in (make_arm(64), frozen)
    ]
    whole, part = (fit.bytes_by_part for fit in fits if fit is not None)
    assert part["adapters"] == whole["adapters"]
    # q, k, v, o are 16 x 16, gate and up 16 x 32, down 32 x 16, in two layers.
    d_out = 2 * (4 * 16 + 2 * 32 + 16)
    assert part["gradients"] == 4 * 64 * d_out < whole["gradients"]
