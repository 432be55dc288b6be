"""What `gpu_sweep` measures of the engine: a base of random weights, and steps over it.

Imports nothing that a bare GPU image lacks.
"""

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen2Config
from transformers.modeling_layers import GradientCheckpointingLayer

from rankshift.arms import Arm
from rankshift.data.batches import lay_rows
from rankshift.data.rendering import Rendered
from rankshift.grid import ALL_PROJECTIONS
from rankshift.model.adapters import AdapterShape, LockStepLinear
from rankshift.model.attention import IN_FLOAT32
from rankshift.model.checkpointing import checkpoint_layers
from rankshift.model.forms import settle_forms
from rankshift.model.products import Form
from rankshift.train.optimizer import ArmwiseAdamW
from rankshift.train.step import Batch, Moves, divide_passes, reading, sum_losses, training_step
from rankshift.train.trainee import Trainee, prepare_adapters, prepare_base

USUAL_SHARE, SPREAD = 0.25, 0.6
"""Median length of a conversation as a share of the longest, and the spread of its logarithm."""
LEARNING_RATE = 1e-4
ALPHA = 64.0


@dataclass(frozen=True)
class Shape:
    """A base, and the sweep over it."""

    hidden: int
    layers: int
    heads: int
    key_heads: int
    intermediate: int
    vocabulary: int
    ranks: tuple[int, ...]
    row_tokens: int
    """Of the longest conversation; half of all have less than a quarter of it."""
    arm_tokens: int
    """Of all conversations that an arm sees in a step."""
    form_tokens: tuple[int, ...]
    """Of one arm, for which the forms of the update are timed."""

    @property
    def projections(self) -> dict[str, tuple[int, int, int]]:
        """Give the layers of a block that are alike: width in, width out, how many there are."""
        narrow = self.hidden // self.heads * self.key_heads
        return {
            "q, o": (self.hidden, self.hidden, 2),
            "k, v": (self.hidden, narrow, 2),
            "gate, up": (self.hidden, self.intermediate, 2),
            "down": (self.intermediate, self.hidden, 1),
        }


@dataclass(frozen=True)
class Setting:
    """How a step is divided so that it fits into memory."""

    arms_per_pass: int
    row_passes: int
    """Into how many passes an arm's rows are divided."""
    checkpointing: bool
    """Whether blocks are computed again in the backward pass."""

    def __str__(self) -> str:
        checkpointing = "blocks recomputed" if self.checkpointing else "nothing recomputed"
        return f"{self.arms_per_pass} arms a pass, rows in {self.row_passes}, {checkpointing}"


@dataclass(frozen=True)
class Speed:
    """What a step took."""

    setting: str
    tokens: int
    """Of a step, all arms together."""
    seconds: tuple[float, ...]
    """A step after another."""
    peak_bytes: int | None
    """Most that was allocated, weights included; None without a GPU."""

    @property
    def median(self) -> float:
        """Give the usual seconds of a step."""
        return statistics.median(self.seconds)

    @property
    def tokens_per_second(self) -> float:
        """Give the usual speed."""
        return self.tokens / self.median


@dataclass(frozen=True)
class Bench:
    """A base on its device, and how often a step is measured."""

    shape: Shape
    model: PreTrainedModel
    device: torch.device
    warm_up: int
    rounds: int


def build_model(shape: Shape, device: torch.device) -> PreTrainedModel:
    """Build a frozen Qwen2 in bfloat16 on the device; its weights are random."""
    config = Qwen2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads,
        max_position_embeddings=32768,
        tie_word_embeddings=False,
    )
    with device:
        model = AutoModelForCausalLM.from_config(
            config, dtype=torch.bfloat16, attn_implementation=IN_FLOAT32
        )
    return model.requires_grad_(requires_grad=False)


def draw_row(shape: Shape, generator: np.random.Generator) -> Rendered:
    """Draw a conversation of random tokens, the second half supervised."""
    usual = USUAL_SHARE * np.exp(SPREAD * generator.standard_normal())
    length = max(2, int(shape.row_tokens * min(usual, 1.0)))
    ids = generator.integers(0, shape.vocabulary, length).tolist()
    return Rendered(tuple(ids), tuple(at >= (length + 1) // 2 for at in range(length)), 0)


def draw_step(shape: Shape) -> list[Rendered]:
    """Draw what an arm sees in a step; the last conversation is cut so that the sum is right."""
    generator = np.random.Generator(np.random.Philox(key=1))
    rows, left = [], shape.arm_tokens
    while left > 0:
        row = draw_row(shape, generator)
        rows.append(Rendered(row.token_ids[:left], row.loss_mask[:left], row.row))
        left -= len(row.token_ids)
    return rows


def make_window(
    shape: Shape, trainee: Trainee, num_arms: int, setting: Setting, device: torch.device
) -> list[Batch]:
    """Divide a step into passes; arms of one seed see the same rows, packed if the model allows."""
    rows = draw_step(shape)
    most = -(-len(rows) // setting.row_passes)
    window = []
    for part in (rows[at : at + most] for at in range(0, len(rows), most)):
        for arms in divide_passes(num_arms, setting.arms_per_pass):
            tokens = lay_rows([part] * len(arms), 0, trainee.traits.packs)
            window.append(Batch(arms, tokens.to(device)))
    return window


def make_arm(rank: int) -> Arm:
    """Make the arm of a rank: rsLoRA, all seven projections."""
    return Arm(
        method="lora",
        role="task",
        rank=rank,
        alpha=ALPHA,
        scaling="alpha/sqrt(rank)",
        learning_rate=LEARNING_RATE,
        seed=1,
        target_modules=ALL_PROJECTIONS,
    )


@contextmanager
def with_adapters(model: PreTrainedModel, ranks: Sequence[int]) -> Iterator[Trainee]:
    """Put arms over a base, and take them off again."""
    trainee = prepare_adapters(model, [make_arm(rank) for rank in ranks], "random weights")
    try:
        yield trainee
    finally:
        for layer in trainee.layers:
            parent, _, last = layer.name.rpartition(".")
            setattr(model.get_submodule(parent), last, layer.linear)
        trainee.layers.clear()
        trainee.tensors.clear()


def measure_lock_step(
    bench: Bench, ranks: Sequence[int], ways: Sequence[Sequence[Setting]], form: Form | None
) -> list[Speed]:
    """Train arms together: for each way, at the first of its settings that fits into memory."""
    speeds = []
    with with_adapters(bench.model, ranks) as trainee:
        optimizer = ArmwiseAdamW(trainee.tensors, weight_decay=0.0)
        for settings in ways:
            for setting in settings:
                choose_forms(bench.shape, trainee, setting, form)
                speed = train_steps(bench, trainee, optimizer, setting)
                if speed is not None:
                    speeds.append(speed)
                    break
    del optimizer, trainee
    free_memory(bench.device)
    return speeds


def train_steps(
    bench: Bench, trainee: Trainee, optimizer: ArmwiseAdamW, setting: Setting
) -> Speed | None:
    """Time the engine's training steps; None where they do not fit into memory."""
    num_arms = len(trainee.tensors)
    window = make_window(bench.shape, trainee, num_arms, setting, bench.device)
    rates = torch.full((num_arms,), LEARNING_RATE, dtype=torch.float64)
    active = torch.ones(num_arms, dtype=torch.bool)

    def step() -> None:
        training_step(trainee, window, optimizer, Moves(rates, active, clip_norm=1.0))

    speed = try_steps(bench, step, setting, num_arms * bench.shape.arm_tokens)
    for own in trainee.tensors:
        for tensor in own:
            tensor.grad = None
    return speed


def choose_forms(shape: Shape, trainee: Trainee, setting: Setting, form: Form | None) -> None:
    """Let the engine find the fastest forms by trial, or take the one that is asked for."""
    if form is not None:
        for layer in trainee.layers:
            take_form(layer, form)
        return
    tokens = shape.arm_tokens // setting.row_passes
    with tempfile.TemporaryDirectory() as folder:
        settle_forms(trainee.layers, tokens, Path(folder) / "forms.json", Path(folder))


def take_form(layer: LockStepLinear, form: Form) -> None:
    """Compute all arms of a layer in one form."""
    forms: list[Form] = [form] * len(layer.shapes)
    layer.choose_forms(forms)


def measure_base(bench: Bench, num_arms: int, setting: Setting) -> Speed | None:
    """Take the same tokens through the bare base, forth and back to the embeddings."""
    trainee = prepare_base(bench.model)
    window = make_window(bench.shape, trainee, num_arms, setting, bench.device)

    def step() -> None:
        with reading(trainee):
            for batch in window:
                sum_losses(trainee, batch.tokens).sum().backward()

    bench.model.enable_input_require_grads()
    try:
        return try_steps(bench, step, setting, num_arms * bench.shape.arm_tokens)
    finally:
        bench.model.disable_input_require_grads()


def try_steps(
    bench: Bench, step: Callable[[], None], setting: Setting, tokens: int
) -> Speed | None:
    """Time steps; None where they do not fit into memory."""
    free_memory(bench.device)
    try:
        with checkpointing(bench.model, setting.checkpointing):
            seconds = time_steps(step, bench)
    except torch.OutOfMemoryError:
        print(f"  {setting}: does not fit", flush=True)
        return None
    return Speed(str(setting), tokens, tuple(seconds), read_peak(bench.device))


@contextmanager
def checkpointing(model: PreTrainedModel, wanted: bool) -> Iterator[None]:
    """Compute layers again in the backward pass, as the engine does, where that is wanted."""
    model.eval()
    if wanted:
        checkpoint_layers(model)
    try:
        yield
    finally:
        for module in model.modules():
            if isinstance(module, GradientCheckpointingLayer):
                vars(module).pop("forward", None)


def time_steps(step: Callable[[], None], bench: Bench) -> list[float]:
    """Take some steps to warm up, and time the rest one by one."""
    seconds = []
    for number in range(bench.warm_up + bench.rounds):
        begin = read_clock(bench.device)
        step()
        if number >= bench.warm_up:
            seconds.append(read_clock(bench.device) - begin)
    return seconds


def read_clock(device: torch.device) -> float:
    """Read the clock when the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def free_memory(device: torch.device) -> None:
    """Give back what nothing uses, and begin to note the peak anew."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def read_peak(device: torch.device) -> int | None:
    """Give the most bytes that were allocated since `free_memory`."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def time_forms(bench: Bench, tokens: int) -> dict[str, dict[str, float]]:
    """Time each layer of a block forth and back, all ranks together: the base alone and two forms.

    Returns:
        Seconds by layer and then by form; `base` is the frozen product alone.
    """
    found = {}
    shapes = [AdapterShape(rank, scale=1.0) for rank in bench.shape.ranks]
    generator = torch.Generator(bench.device).manual_seed(0)
    for name, (d_in, d_out, _) in bench.shape.projections.items():
        like = {"device": bench.device, "dtype": torch.bfloat16}
        layer = LockStepLinear(nn.Linear(d_in, d_out, bias=False, **like), name, shapes)
        rows = len(shapes) * tokens
        x = torch.randn(rows, d_in, generator=generator, requires_grad=True, **like)
        grad_y = torch.randn(rows, d_out, generator=generator, **like)
        found[name] = {"base": _time_layer(bench, layer.linear, x, grad_y)}
        forms: tuple[Form, ...] = ("loop", "grouped")
        for form in forms:
            take_form(layer, form)
            found[name][form] = _time_layer(bench, layer, x, grad_y)
    free_memory(bench.device)
    return found


def _time_layer(bench: Bench, layer: nn.Module, x: Tensor, grad_y: Tensor) -> float:
    def step() -> None:
        layer(x).backward(grad_y)
        x.grad = None
        for factors in getattr(layer, "factors", []):
            for factor in factors:
                factor.grad = None

    return statistics.median(time_steps(step, bench))
