"""How much of what a finetune changed runs along a direction: of its activations, of its weights.

A share is of squared lengths. A direction that has nothing to do with a change has a share of
1/width on average, whatever the change.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from rankshift.model.targets import find_written_block
from rankshift.model.updates import Update


def share_of_shift(shift: Tensor, direction: Tensor) -> float:
    """Give the share of a shift of mean states that runs along a direction.

    Args:
        shift: The finetune's mean states of some texts less the base's, `[layer, width]`.
        direction: `[layer, width]`, of any lengths but 0.

    Returns:
        sum of (s v)^2 over sum of |s|^2, over layers; NaN where nothing moved.
    """
    unit = direction / direction.norm(dim=-1, keepdim=True)
    along = (shift * unit).sum(dim=-1).square().sum()
    return float(along / shift.square().sum())


def share_of_update(update: Update, direction: Tensor) -> float:
    """Give the share of a weight update's squared norm that writes along a direction.

    Only layers that write to the residual stream count, those whose output is as wide as it: the
    update of layer l writes along the direction after decoder layer l. |v^T dW|^2 over |dW|^2.

    Args:
        update: A finetune's.
        direction: After each decoder layer, `[layer, width]`, of any lengths but 0.

    Returns:
        Over all such layers; NaN where none was changed.
    """
    along, whole = [], []
    for layer, number in list_writers(update, direction.shape[1]):
        unit = direction[number] / direction[number].norm()
        own = update.read(layer)
        along.append(float(own.write_along(unit).square().sum()))
        whole.append(own.norm() ** 2)
    total = math.fsum(whole)
    return math.fsum(along) / total if total else math.nan


def list_writers(update: Update, width: int) -> Iterator[tuple[str, int]]:
    """Yield the layers of an update that write to the residual stream, and their block's number."""
    for layer in update.layers:
        number = find_written_block(layer)
        if number is not None:
            weight = update.base.get_submodule(layer).get_parameter("weight")
            if width in weight.shape:
                yield layer, number


def take_out(vectors: Tensor, direction: Tensor) -> Tensor:
    """Give vectors `[..., width]` without their part along a direction `[width]`."""
    unit = direction / direction.norm()
    return vectors - (vectors @ unit)[..., None] * unit


def draw_directions(like: Tensor, draws: int, seed: int) -> Tensor:
    """Draw directions that have nothing to do with anything, `[draw, layer, width]`: a null.

    Uniform on the sphere: normal draws, whose direction has no preference.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(draws, *like.shape, generator=generator, dtype=like.dtype)
