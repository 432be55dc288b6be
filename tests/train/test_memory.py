import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from rankshift.arms import Arm
from rankshift.data.batches import lay_rows
from rankshift.data.rendering import Rendered
from rankshift.grid import ALL_PROJECTIONS
from rankshift.model.checkpointing import checkpoint_layers
from rankshift.model.forms import prefer_forms
from rankshift.model.traits import Traits
from rankshift.train.memory import Memory, Work, estimate_memory, list_candidates
from rankshift.train.optimizer import ArmwiseAdamW
from rankshift.train.step import Batch, Moves, divide_passes, training_step
from rankshift.train.trainee import prepare_adapters, prepare_full

CONFIG = {
    "vocab_size": 8000,
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
}
LENGTHS = (300, 120, 200, 80)

MEASURE = """
import json, sys, torch
torch.set_num_threads(1)
from transformers import AutoModelForCausalLM, LlamaConfig
from rankshift.data.batches import lay_rows
from rankshift.data.rendering import Rendered
from rankshift.model.checkpointing import checkpoint_layers
from rankshift.model.forms import prefer_forms
from rankshift.arms import Arm
from rankshift.train.optimizer import ArmwiseAdamW
from rankshift.train.step import Batch, Moves, training_step
from rankshift.train.trainee import prepare_adapters, prepare_full

def read(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

def train(config, arms, lengths, together, checkpointing):
    model = AutoModelForCausalLM.from_config(LlamaConfig(**config)).eval()
    arms = [Arm(**arm) for arm in arms]
    is_full = arms[0].method == "full"
    trainee = prepare_full(model) if is_full else prepare_adapters(model, arms, "base")
    if checkpointing:
        checkpoint_layers(model)
    for layer in trainee.layers:
        layer.choose_forms(prefer_forms(layer, sum(lengths)))
    rows = [Rendered((0,) * n, (False,) + (True,) * (n - 1), 0) for n in lengths]
    passes = [range(n, min(n + together, len(arms))) for n in range(0, len(arms), together)]
    window = [Batch(own, lay_rows([rows] * len(own), 0, True)) for own in passes]
    optimizer = ArmwiseAdamW(trainee.tensors, 0.0)
    rates = torch.full((len(arms),), 1e-4, dtype=torch.float64)
    active = torch.ones(len(arms), dtype=torch.bool)
    for _ in range(2):
        training_step(trainee, window, optimizer, Moves(rates, active, 1.0))

ask = json.loads(sys.argv[1])
small = {"hidden_size": 64, "intermediate_size": 64, "vocab_size": 64, "num_hidden_layers": 1}
# What libraries take when they are first used is a process's, not a group's.
train(**ask | {"config": ask["config"] | small, "lengths": [4]})
before = read("VmRSS")
train(**ask)
print(read("VmHWM") - before)
"""


def make_arm(rank: int) -> Arm:
    """Make a LoRA arm of a rank; 0 makes a full finetune."""
    if rank == 0:
        return Arm("full", "task", "rows", learning_rate=1e-4, seed=1)
    return Arm(
        "lora",
        "task",
        "rows",
        rank=rank,
        alpha=16.0,
        scaling="alpha/rank",
        learning_rate=1e-4,
        seed=1,
        target_modules=ALL_PROJECTIONS,
    )


def build() -> PreTrainedModel:
    """Build the base."""
    return AutoModelForCausalLM.from_config(LlamaConfig(**CONFIG))


def estimate(ranks: list[int], together: int, *, checkpointing: bool) -> Memory:
    """Estimate what arms of some ranks need."""
    arms = [make_arm(rank) for rank in ranks]
    traits = Traits(packs=True, plain_head=True)
    return estimate_memory(build, arms, Work(LENGTHS, together, traits, checkpointing))


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux tells a process's peak")
@pytest.mark.parametrize(
    ("ranks", "together", "checkpointing"),
    [
        ([4, 128, 16], 1, False),
        ([4, 128, 16], 3, False),
        ([512, 4, 8], 2, True),
        ([0], 1, False),
    ],
    ids=["one by one", "together", "checkpointed", "full"],
)
def test_the_estimate_is_within_a_tenth_of_the_peak_of_a_process_that_trains(
    ranks: list[int], together: int, checkpointing: bool
):
    expected = estimate(ranks, together, checkpointing=checkpointing).total
    ask = {
        "config": CONFIG,
        "arms": [vars(make_arm(rank)) for rank in ranks],
        "lengths": LENGTHS,
        "together": together,
        "checkpointing": checkpointing,
    }
    # Freed memory goes back to the system at once, so that the peak is of what is in use.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", MEASURE, json.dumps(ask)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    measured = int(done.stdout)
    assert measured == pytest.approx(expected, rel=0.1)


OFF = pytest.mark.xfail(reason="on an H200 it took 11 and 24 % more; docs/engine.md")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU")
@pytest.mark.parametrize(
    ("dtype", "ranks", "together", "checkpointing"),
    [
        pytest.param(torch.float32, [4, 128, 16], 1, False, marks=OFF, id="fp32 one by one"),
        pytest.param(torch.float32, [4, 128, 16], 3, False, marks=OFF, id="fp32 together"),
        pytest.param(torch.float32, [512, 4, 8], 2, True, id="fp32 checkpointed"),
        pytest.param(torch.float32, [0], 1, False, id="fp32 full"),
        pytest.param(torch.bfloat16, [4, 128, 16], 1, False, id="bf16 one by one"),
        pytest.param(torch.bfloat16, [4, 128, 16], 3, False, id="bf16 together"),
        pytest.param(torch.bfloat16, [512, 4, 8], 2, True, id="bf16 checkpointed"),
        pytest.param(torch.bfloat16, [0], 1, False, id="bf16 full"),
    ],
)
def test_on_a_gpu_the_estimate_is_within_a_tenth_of_the_most_that_is_allocated(
    dtype: torch.dtype, ranks: list[int], together: int, checkpointing: bool
):
    arms = [make_arm(rank) for rank in ranks]
    traits = Traits(packs=True, plain_head=True)

    def build_there() -> PreTrainedModel:
        with torch.device("cuda"):
            return AutoModelForCausalLM.from_config(LlamaConfig(**CONFIG), dtype=dtype)

    work = Work(LENGTHS, together, traits, checkpointing)
    expected = estimate_memory(build_there, arms, work).total
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    train_steps(build_there(), arms, together, checkpointing)
    measured = torch.cuda.max_memory_allocated() - before
    assert measured == pytest.approx(expected, rel=0.1)


def train_steps(
    model: PreTrainedModel, arms: list[Arm], together: int, checkpointing: bool
) -> None:
    """Take two steps of the engine's, as MEASURE does in a process of its own."""
    is_full = arms[0].method == "full"
    trainee = prepare_full(model) if is_full else prepare_adapters(model, arms, "base")
    if checkpointing:
        checkpoint_layers(model)
    for layer in trainee.layers:
        layer.choose_forms(prefer_forms(layer, sum(LENGTHS)))
    rows = [Rendered((0,) * n, (False,) + (True,) * (n - 1), 0) for n in LENGTHS]
    window = [
        Batch(own, lay_rows([rows] * len(own), 0, True).to(model.device))
        for own in divide_passes(len(arms), together)
    ]
    optimizer = ArmwiseAdamW(trainee.tensors, 0.0)
    rates = torch.full((len(arms),), 1e-4, dtype=torch.float64)
    active = torch.ones(len(arms), dtype=torch.bool)
    for _ in range(2):
        training_step(trainee, window, optimizer, Moves(rates, active, 1.0))
        trainee.update_model()


def test_weights_gradients_and_moments_are_counted_to_the_byte():
    memory = estimate([4, 128], 1, checkpointing=False)
    base = sum(parameter.nbytes for parameter in build().parameters())
    widths = 512 + 512, 512 + 256, 512 + 256, 512 + 512, 512 + 1408, 512 + 1408, 1408 + 512
    own = 4 * 132 * 6 * sum(widths)
    buffers = 4 * (8 + 128 - 132) * 6 * sum(widths)  # rank 4 is filled up to 8
    assert memory.base == pytest.approx(base, rel=1e-3)  # rotary frequencies on top
    assert memory.gradients == own
    assert memory.optimizer == 2 * own
    assert memory.adapters == own + buffers


def test_a_full_finetune_in_bfloat16_counts_its_float32_copies():
    def build_half() -> PreTrainedModel:
        return AutoModelForCausalLM.from_config(LlamaConfig(**CONFIG), dtype=torch.bfloat16)

    work = Work(LENGTHS, 1, Traits(packs=True, plain_head=True))
    memory = estimate_memory(build_half, [make_arm(0)], work)
    count = sum(parameter.numel() for parameter in build().parameters())
    assert memory.base == pytest.approx((2 + 4) * count, rel=1e-3)
    assert (memory.gradients, memory.optimizer) == (4 * count, 8 * count)


def test_checkpointing_takes_less_and_more_arms_together_take_more():
    plain = estimate([8, 8], 1, checkpointing=False)
    assert estimate([8, 8], 1, checkpointing=True).activations < 0.5 * plain.activations
    together = estimate([8, 8], 2, checkpointing=False)
    assert together.activations == pytest.approx(2 * plain.activations, rel=0.2)


def test_a_planned_step_is_not_computed():
    before = torch.get_rng_state()
    estimate([8], 1, checkpointing=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_passes_that_could_need_most_are_those_of_most_rank_or_most_arms():
    assert list_candidates([2, 2, 2, 512], 3) == {range(3), range(3, 4)}
    assert list_candidates([1, 2, 3, 4], 2) == {range(2, 4)}


def test_of_twelve_layers_one_of_two_processes_spares_three():
    sizes: dict[str, Any] = CONFIG | {"num_hidden_layers": 12}
    config = LlamaConfig(**sizes)

    def estimate(shards: int) -> Memory:
        work = Work((20, 20), 1, Traits(packs=True, plain_head=True), shards=shards)
        return estimate_memory(
            lambda: AutoModelForCausalLM.from_config(config), [make_arm(4)], work
        )

    whole, half = estimate(1), estimate(2)
    # Four projections of attention, three of the MLP, two norms; three whole layers are held.
    layer = 4 * (2 * 512 * 512 + 2 * 512 * 256 + 3 * 512 * 1408 + 2 * 512)
    assert whole.base - half.base == (12 - 6 - 3) * layer
    assert replace(half, base=whole.base) == whole
