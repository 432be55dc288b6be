"""What an update looks like as a matrix: intruder dimensions, and how subspaces of two lie."""

from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.model.targets import list_linears
from rankshift.model.updates import Update

MAIN = 8
"""Singular vectors of an update that stand for what it writes to. Ours."""
TOP_K = 10
EPSILON = 0.5
"""Source of both: peft 0.21.2, tuners/lora/intruders.py, reduce_intruder_dimension."""


def find_left_vectors(base: PreTrainedModel) -> dict[str, Tensor]:
    """Give the left singular vectors of each linear layer's weight, `[d_out, n]` in float64."""
    return {name: _decompose(linear.weight) for name, linear in list_linears(base).items()}


def count_intruders(
    update: Update, before: Mapping[str, Tensor], top_k: int = TOP_K, epsilon: float = EPSILON
) -> dict[str, int]:
    """Count each layer's intruder dimensions.

    One of the `top_k` left singular vectors of the finetuned weight intrudes where its cosine with
    every left singular vector of the base's weight is below `epsilon`.

    Args:
        update: A finetune's.
        before: From `find_left_vectors`, of its base.
        top_k: How many are looked at.
        epsilon: The largest cosine of an intruder.

    Source: Shuttleworth et al. 2024, arXiv:2410.21228, algorithm 1, with peft's defaults.
    """
    found = {}
    for layer in update.layers:
        after = _decompose(update.read_base(f"{layer}.weight") + update.read(layer).form())
        cosines = (after[:, :top_k].t() @ before[layer]).abs().amax(dim=1)
        found[layer] = int((cosines < epsilon).sum())
    return found


def _decompose(weight: Tensor) -> Tensor:
    return torch.linalg.svd(weight.detach().cpu().double(), full_matrices=False).U


def find_main_directions(update: Update, most: int = MAIN) -> dict[str, Tensor]:
    """Give each layer's left singular vectors of the update, largest first, `[d_out, n]`.

    Those whose singular value is no more than rounding are left out: they point anywhere.

    Args:
        update: A finetune's.
        most: Vectors of a layer, at most.
    """
    found = {}
    for layer in update.layers:
        vectors, values, _ = update.read(layer).decompose()
        count = int((values[:most] > values[:1] * 1e-6).sum())
        found[layer] = vectors[:, :count]
    return found


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
