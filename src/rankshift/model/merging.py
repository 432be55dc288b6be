"""Layers for sampling alone: while answers are decoded no adapter changes.

An arm of rank r pays 2 r (K + N) operations a token for its own product beside 2 K N for the base's
(K, N the layer's widths); one weight W + s B A pays 2 K N for both.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from rankshift.model.adapters import LockStepLinear
from rankshift.model.products import Form, LockStepProduct, Segment, divide_runs
from rankshift.model.sharding import is_sharded

MERGED_BYTES_LIMIT = 2 << 30
"""Merged weights are one copy of the layer an arm; beyond this the rest stays apart."""

CHEAPEST_MEAN_RANK = 3
"""From this mean rank on, arms with merged weights are faster; below, one product over all arms is
no slower and needs no copy of the layer an arm.

Measured with five arms of one rank each on the organism's base: 1 to 5 % slower merged at ranks 1
and 2, 3 to 6 % faster at 4, 8 and 16. What little the thin products of small ranks cost is what the
base's product gains, being one over all arms' rows. See docs/log.md, 2026-11-24.
"""


class MergedLinear(nn.Module):
    """A weight of its own for every arm, or for some: y = x (W + s B A)^T."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, layer: LockStepLinear, segments: Sequence[Segment] | None = None) -> None:
        super().__init__()
        segments = layer.segments if segments is None else segments
        weight = layer.linear.weight.t()  # [K, N]
        merged = weight.new_empty(len(segments), *weight.shape)
        for target, segment in zip(merged, segments, strict=True):
            rows = segment.rows
            if segment.stop == segment.start:
                target.copy_(weight)
            else:
                A, B = layer.lora_A[rows], layer.lora_B[rows]
                torch.addmm(weight, A.t(), B, alpha=segment.scale, out=target)
        self.register_buffer("weight", merged, persistent=False)
        self.bias = layer.linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """Take `[arm * row, ..., d_in]`, rows arm by arm; give `[arm * row, ..., d_out]`."""
        num_arms, d_in, d_out = self.weight.shape
        y = torch.bmm(x.reshape(num_arms, -1, d_in), self.weight).view(*x.shape[:-1], d_out)
        return y if self.bias is None else y.add_(self.bias)


class ApartLinear(nn.Module):
    """The base's product for all arms, then each arm's own; factors in the base's type."""

    def __init__(self, layer: LockStepLinear, segments: Sequence[Segment] | None = None) -> None:
        super().__init__()
        segments = layer.segments if segments is None else segments
        self.linear = layer.linear
        loops: list[Form] = ["loop"] * len(segments)
        moved, rows = close_up(segments)
        self.num_arms, self.runs = len(loops), divide_runs(moved, loops)
        dtype = layer.linear.weight.dtype
        self.factors = layer.lora_A[rows].to(dtype), layer.lora_B[rows].to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Take `[arm * row, ..., d_in]`, rows arm by arm; give `[arm * row, ..., d_out]`."""
        rows = x.reshape(self.num_arms, -1, x.shape[-1])
        y = LockStepProduct.apply(rows, self.linear, self.runs, self.factors, *self.factors)
        return y.view(*x.shape[:-1], -1)


def close_up(segments: Sequence[Segment]) -> tuple[tuple[Segment, ...], slice | list[int]]:
    """Put the rows of some arms one after another: where each arm's then are, and which to take."""
    moved, rows = [], []
    for own in segments:
        shift = len(rows) - own.start
        moved.append(
            replace(
                own,
                start=own.start + shift,
                stop=own.stop + shift,
                padded_stop=own.padded_stop + shift,
            )
        )
        rows += range(own.start, own.padded_stop)
    return tuple(moved), slice(None) if rows == list(range(len(rows))) else rows


def is_merged_cheaper(layer: LockStepLinear, segments: Sequence[Segment]) -> bool:
    """Decide whether a layer's arms get merged weights; the one place that does.

    Never beside a bfloat16 base: the sum would be rounded to it, and small updates be lost. Nor
    where a process holds a part of the weight: it would hold a whole one an arm.
    """
    total = sum(segment.stop - segment.start for segment in segments)
    is_exact = layer.linear.weight.dtype == torch.float32
    return (
        is_exact
        and not is_sharded(layer.linear.weight)
        and total >= CHEAPEST_MEAN_RANK * len(segments)
    )


@contextmanager
def layers_for_sampling(model: nn.Module, places: Sequence[int] | None = None) -> Iterator[None]:
    """Exchange a model's lock-step layers for layers that sample, and put them back afterwards.

    Args:
        model: With the adapters of all arms of a group.
        places: Which of these arms sample, rising; None where all do.
    """
    found = {n: m for n, m in model.named_modules() if isinstance(m, LockStepLinear)}
    try:
        for name, layer in zip(found, choose_layers(list(found.values()), places), strict=True):
            model.set_submodule(name, layer)
        yield
    finally:
        for name, layer in found.items():
            model.set_submodule(name, layer)


def choose_layers(
    layers: Sequence[LockStepLinear], places: Sequence[int] | None = None
) -> Iterator[nn.Module]:
    """Give each layer's stand-in for some arms or all, made one at a time."""
    left = MERGED_BYTES_LIMIT
    for layer in layers:
        every = layer.segments
        segments = every if places is None else [every[place] for place in places]
        size = layer.linear.weight.nbytes * len(segments)
        if is_merged_cheaper(layer, segments) and size <= left:
            left -= size
            yield MergedLinear(layer, segments)
        else:
            yield ApartLinear(layer, segments)
