"""What an update looks like as a matrix: intruder dimensions, and how subspaces of two lie."""

from collections.abc import Iterator

import torch
from torch import Tensor

from rankshift.model.updates import DenseUpdate, LowRankUpdate, Update

TOP_K = 10
EPSILON = 0.5
"""Source of both: peft 0.21.2, tuners/lora/intruders.py, reduce_intruder_dimension."""


def count_intruders(update: Update, top_k: int = TOP_K, epsilon: float = EPSILON) -> dict[str, int]:
    """Count each layer's intruder dimensions.

    One of the `top_k` left singular vectors of the finetuned weight intrudes where its cosine with
    every left singular vector of the base's weight is below `epsilon`.

    Source: Shuttleworth et al. 2024, arXiv:2410.21228, algorithm 1, with peft's defaults.
    """
    return {
        layer: _count(weight, merged, top_k, epsilon)
        for layer, weight, merged in _list_weights(update)
    }


def _list_weights(update: Update) -> Iterator[tuple[str, Tensor, Tensor]]:
    for layer in update.layers:
        weight = update.read_base(f"{layer}.weight")
        yield layer, weight, weight + form(update.read(layer))


def _count(weight: Tensor, merged: Tensor, top_k: int, epsilon: float) -> int:
    before, _, _ = torch.linalg.svd(weight, full_matrices=False)
    after, _, _ = torch.linalg.svd(merged, full_matrices=False)
    cosines = (after[:, :top_k].t() @ before).abs().amax(dim=1)
    return int((cosines < epsilon).sum())


def form(update: LowRankUpdate | DenseUpdate) -> Tensor:
    """Form an update's matrix, `[d_out, d_in]`."""
    return update.left @ update.right if isinstance(update, LowRankUpdate) else update.difference


def compare_subspaces(one: Tensor, other: Tensor) -> float:
    """Give how much of the smaller of two subspaces lies in the other, 0 to 1.

    Args:
        one: Orthonormal columns, `[width, i]`.
        other: Likewise, `[width, j]`.

    Returns:
        |U^T V|_F^2 / min(i, j): 1 where one holds the other; max(i, j) / width for random ones.

    Source: Hu et al. 2021, arXiv:2106.09685, section 7.2, equation 4.
    """
    return float((one.t() @ other).square().sum() / min(one.shape[1], other.shape[1]))
