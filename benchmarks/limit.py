"""How fast a step could be at best: its floating-point operations over the machine's rate.

Counted are matrix products with weights; attention's own products, norms, activations, loss and
optimizer come on top, so the limit is never reached.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoConfig

from benchmarks.measuring import clock
from benchmarks.processes import meet, run_together
from benchmarks.sweep import Sweep
from rankshift.grid import Subset
from rankshift.model.loading import load_skeleton
from rankshift.model.operations import DTypeName, Widths, count_base, count_dense, count_thin
from rankshift.model.targets import find_targets

PRODUCT = (4608, 256, 640)
"""Rows, inner and outer width of the measured product: one of a group of eight arms."""
WINDOWS, WINDOW_SECONDS = 10, 0.2
"""The best window counts: a limit is what the machine can do when nobody disturbs it."""


@dataclass(frozen=True)
class Shape:
    """A linear layer that is trained through its adapters."""

    d_in: int
    d_out: int
    sends_gradient: bool
    """False where nothing trainable lies before it, so that its input needs no gradient."""

    @property
    def widths(self) -> Widths:
        """Give both widths, as the engine's counters take them."""
        return self.d_in, self.d_out


@dataclass(frozen=True)
class Operations:
    """The floating-point operations of one step of all arms, by what they are for."""

    base: float
    adapters: float
    head: float

    @property
    def total(self) -> float:
        """Give all of them."""
        return self.base + self.adapters + self.head


def find_shapes(base: Path) -> list[Shape]:
    """List the seven projections of every layer; the first layer's q, k and v see embeddings."""
    targets = find_targets(load_skeleton(base), Subset())
    first = [name for name in targets if name.rpartition(".")[2] in ("q_proj", "k_proj", "v_proj")]
    return [
        Shape(linear.in_features, linear.out_features, name not in first[:3])
        for name, linear in targets.items()
    ]


def base_operations(shapes: Sequence[Shape], tokens: int) -> int:
    """Count the products of a base, one arm and step: y = x W^T, and dx = dy W where needed."""
    return sum(
        count_base(s.widths, tokens) - (0 if s.sends_gradient else 2 * tokens * s.d_in * s.d_out)
        for s in shapes
    )


def adapter_operations(
    shapes: Sequence[Shape], tokens: int, rank: int, dtype: DTypeName = "float32"
) -> int:
    """Count the adapters' products of one arm and step, each layer in its cheaper form.

    A layer that sends no gradient back lacks dx: 2 T r K of its thin products; in the dense form it
    is part of the base's, but in bfloat16, where s B A stays apart from W, 2 T K N of its own.
    """
    apart = dtype == "bfloat16"
    return sum(
        min(
            count_thin(s.widths, tokens, rank)
            - (0 if s.sends_gradient else 2 * tokens * rank * s.d_in),
            count_dense(s.widths, tokens, rank, dtype)
            - (2 * tokens * s.d_in * s.d_out if apart and not s.sends_gradient else 0),
        )
        for s in shapes
    )


def head_operations(supervised_tokens: float, width: int, vocabulary: int) -> float:
    """Count the frozen head's products of one arm and step: logits, and their gradient back."""
    return 4.0 * supervised_tokens * width * vocabulary


def count_operations(sweep: Sweep, dtype: DTypeName) -> Operations:
    """Count one step of all arms of a sweep; supervised tokens are the mean of its steps."""
    shapes, config = find_shapes(sweep.base), AutoConfig.from_pretrained(sweep.base)
    rows, steps, arms = sweep.ordered_rows(), sweep.training.steps, len(sweep.arms)
    tokens = sum(len(row.token_ids) for row in rows) // steps
    supervised = sum(sum(row.loss_mask) for row in rows) / steps
    ranks = [arm.rank or 0 for arm in sweep.arms]
    return Operations(
        arms * base_operations(shapes, tokens),
        sum(adapter_operations(shapes, tokens, rank, dtype) for rank in ranks),
        arms * head_operations(supervised, config.hidden_size, config.vocab_size),
    )


def measure_rate(dtype: torch.dtype, processes: int) -> float:
    """Measure what single-threaded processes reach together in one product, operations/second."""
    name = str(dtype).removeprefix("torch.")
    return sum(run_together(repeat_product, [(name,)] * processes, threads=1))


def repeat_product(dtype_name: str) -> float:
    """Multiply for some seconds; give operations per second."""
    torch.set_num_threads(1)
    multiply = make_product(getattr(torch, dtype_name))
    meet()
    return max(multiply(clock) for _ in range(WINDOWS))


def make_product(dtype: torch.dtype) -> Callable[[Callable[[], float]], float]:
    """Make what multiplies for a window and gives operations per second, by a given clock."""
    rows, d_in, d_out = PRODUCT
    left, right = torch.ones(rows, d_in, dtype=dtype), torch.ones(d_in, d_out, dtype=dtype)
    out = torch.empty(rows, d_out, dtype=dtype)
    torch.mm(left, right, out=out)

    def multiply(read: Callable[[], float]) -> float:
        begin, count = read(), 0
        while (seconds := read() - begin) < WINDOW_SECONDS:
            torch.mm(left, right, out=out)
            count += 1
        return 2.0 * rows * d_in * d_out * count / seconds

    return multiply
