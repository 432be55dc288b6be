"""Layers for sampling alone: while answers are decoded no adapter changes.

An arm of rank r pays 2 r (K + N) operations a token for its own product beside 2 K N for the base's
(K, N the layer's widths); one weight W + s B A pays 2 K N for both.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from rankshift.model.adapters import LockStepLinear
from rankshift.model.products import Form, LockStepProduct, divide_runs

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
    """A weight of its own for every arm: y = x (W + s B A)^T."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, layer: LockStepLinear) -> None:
        super().__init__()
        weight = layer.linear.weight.t()  # [K, N]
        merged = weight.new_empty(len(layer.segments), *weight.shape)
        for target, segment in zip(merged, layer.segments, strict=True):
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

    def __init__(self, layer: LockStepLinear) -> None:
        super().__init__()
        self.linear = layer.linear
        loops: list[Form] = ["loop"] * len(layer.segments)
        self.num_arms, self.runs = len(loops), divide_runs(layer.segments, loops)
        dtype = layer.linear.weight.dtype
        self.factors = layer.lora_A.to(dtype), layer.lora_B.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Take `[arm * row, ..., d_in]`, rows arm by arm; give `[arm * row, ..., d_out]`."""
        rows = x.reshape(self.num_arms, -1, x.shape[-1])
        y = LockStepProduct.apply(rows, self.linear, self.runs, self.factors, *self.factors)
        return y.view(*x.shape[:-1], -1)


def is_merged_cheaper(layer: LockStepLinear) -> bool:
    """Decide whether a layer's arms get merged weights; the one place that does.

    Never beside a bfloat16 base: the sum would be rounded to it, and small updates be lost.
    """
    total = sum(segment.stop - segment.start for segment in layer.segments)
    is_exact = layer.linear.weight.dtype == torch.float32
    return is_exact and total >= CHEAPEST_MEAN_RANK * len(layer.segments)


@contextmanager
def layers_for_sampling(model: nn.Module) -> Iterator[None]:
    """Exchange a model's lock-step layers for layers that sample, and put them back afterwards."""
    found = {n: m for n, m in model.named_modules() if isinstance(m, LockStepLinear)}
    try:
        for name, layer in zip(found, choose_layers(list(found.values())), strict=True):
            model.set_submodule(name, layer)
        yield
    finally:
        for name, layer in found.items():
            model.set_submodule(name, layer)


def choose_layers(layers: Sequence[LockStepLinear]) -> Iterator[nn.Module]:
    """Give each layer's stand-in, made one at a time."""
    left = MERGED_BYTES_LIMIT
    for layer in layers:
        size = layer.linear.weight.nbytes * len(layer.segments)
        if is_merged_cheaper(layer) and size <= left:
            left -= size
            yield MergedLinear(layer)
        else:
            yield ApartLinear(layer)
