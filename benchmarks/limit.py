"""How fast a step could be at best: its floating-point operations over the machine's rate.

Counted are matrix products with weights; attention's own products, norms, activations, loss and
optimizer come on top, so the limit is never reached.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.measuring import clock
from benchmarks.processes import meet, run_together
from rankshift.model.loading import load_skeleton
from rankshift.model.targets import find_targets
from rankshift.study import Subset

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


def find_shapes(base: Path) -> list[Shape]:
    """List the seven projections of every layer; the first layer's q, k and v see embeddings."""
    targets = find_targets(load_skeleton(base), Subset())
    first = [name for name in targets if name.rpartition(".")[2] in ("q_proj", "k_proj", "v_proj")]
    return [
        Shape(linear.in_features, linear.out_features, name not in first[:3])
        for name, linear in targets.items()
    ]


def base_operations(shapes: Sequence[Shape], tokens: int) -> float:
    """Count the base's products of one arm and step: y = x W^T and dx = dy W."""
    return sum(2.0 * tokens * s.d_in * s.d_out * (1 + s.sends_gradient) for s in shapes)


def adapter_operations(shapes: Sequence[Shape], tokens: int, rank: int) -> float:
    """Count the adapters' products of one arm and step, each layer in its cheaper form.

    By its factors: x A^T, (.) B^T, and in the backward pass dB, d(x A^T), dA and dx, 2 T r K or
    2 T r N each. Merged, once a step: W + s B A, then dW = dy^T x, dA = B^T dW and dB = dW A^T.
    """
    return sum(
        min(
            2.0 * tokens * rank * ((2 + s.sends_gradient) * s.d_in + 3 * s.d_out),
            6.0 * rank * s.d_in * s.d_out + 2.0 * tokens * s.d_in * s.d_out,
        )
        for s in shapes
    )


def head_operations(supervised_tokens: float, width: int, vocabulary: int) -> float:
    """Count the frozen head's products of one arm and step: logits, and their gradient back."""
    return 4.0 * supervised_tokens * width * vocabulary


def measure_rate(dtype: torch.dtype, processes: int) -> float:
    """Measure what single-threaded processes reach together in one product, operations/second."""
    name = str(dtype).removeprefix("torch.")
    return sum(run_together(repeat_product, [(name,)] * processes, threads=1))


def repeat_product(dtype_name: str) -> float:
    """Multiply for some seconds; give operations per second."""
    torch.set_num_threads(1)
    rows, d_in, d_out = PRODUCT
    dtype = getattr(torch, dtype_name)
    left, right = torch.ones(rows, d_in, dtype=dtype), torch.ones(d_in, d_out, dtype=dtype)
    out = torch.empty(rows, d_out, dtype=dtype)
    torch.mm(left, right, out=out)
    meet()
    rates = []
    for _ in range(WINDOWS):
        begin, count = clock(), 0
        while (seconds := clock() - begin) < WINDOW_SECONDS:
            torch.mm(left, right, out=out)
            count += 1
        rates.append(2.0 * rows * d_in * d_out * count / seconds)
    return max(rates)
