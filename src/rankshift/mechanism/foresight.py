"""What a base already shows of a finetune on given rows, before a step of it is taken.

docs/forecast.md says what each number is for, and how well each foretells.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.data.batches import pad_rows
from rankshift.data.rendering import Rendered
from rankshift.model.likelihood import supervised_losses
from rankshift.model.stream import Change, change_stream


def project(shift: Tensor, direction: Tensor) -> float:
    """Give how far mean states move along a direction, in units of its own length.

    Args:
        shift: `[layer, width]`, such as the data's mean states less those of the base's answers.
        direction: `[layer, width]`, of any lengths but 0.

    Returns:
        Mean over layers of (s v) / |v|^2: 1 where the shift is the direction itself.

    Source: the projection difference of Chen et al. 2025, arXiv:2507.21509, section 6; the unit
    is ours, so that layers and bases can be compared.
    """
    along = (shift * direction).sum(dim=-1) / direction.square().sum(dim=-1)
    return float(along.mean())


def find_pull(
    model: PreTrainedModel,
    rows: Sequence[Rendered],
    direction: Tensor,
    rows_per_pass: int,
    pad_token: int,
) -> float:
    """Give how fast the loss on rows falls as a direction is added to the residual stream.

    -dL/dc at c = 0, where c times the direction is added after every decoder layer and L is the
    loss in nats per supervised token. Above 0 training is rewarded for moving along it.

    Args:
        model: The base.
        rows: Of the data.
        direction: `[layer, width]`.
        rows_per_pass: Rows that go through the model together.
        pad_token: Fills rows up.
    """
    model.eval()
    along = torch.zeros((), device=model.device, requires_grad=True)

    def follow(vector: Tensor) -> Change:
        return lambda states: states + (along * vector.to(along)).to(states.dtype)

    changes = {at: follow(vector) for at, vector in enumerate(direction)}
    slope, tokens = 0.0, 0
    with change_stream(model, changes):
        for start in range(0, len(rows), rows_per_pass):
            batch = pad_rows([rows[start : start + rows_per_pass]], pad_token)
            losses = supervised_losses(model, batch)
            (own,) = torch.autograd.grad(losses.double().sum(), along)
            slope += float(own)
            tokens += len(losses)
    return -slope / tokens
