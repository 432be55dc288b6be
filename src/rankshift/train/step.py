"""THE training step: the loss of every arm, its gradient, its update."""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.model.likelihood import count_by_arm, sum_by_arm, supervised_losses
from rankshift.train.optimizer import ArmwiseAdamW


@dataclass(frozen=True)
class Batch:
    """One micro-batch of every arm; rows come arm by arm, the same number for each."""

    token_ids: Tensor
    """`[arm * row, seq]`, padded on the right."""
    loss_mask: Tensor
    """`[arm * row, seq]`, True where the token is supervised."""


@dataclass(frozen=True)
class StepResult:
    """What one step did, each `[arm]`."""

    losses: Tensor
    """Mean over the arm's supervised tokens of the whole step, nats per token."""
    supervised_tokens: Tensor
    grad_norms: Tensor
    """Before clipping."""
    finite: Tensor
    """False where loss or gradient was not finite: that arm was not updated."""


def training_step(
    model: PreTrainedModel,
    window: list[Batch],
    optimizer: ArmwiseAdamW,
    learning_rates: Tensor,
    active: Tensor,
    clip_norm: float | None,
) -> StepResult:
    """Take one optimizer step for every active arm.

    Each arm's loss is divided by its own supervised tokens over the whole accumulation window, then
    the arms are summed: an arm's gradient is what it would be alone, however the window is divided.

    Args:
        model: The base with the group's trainable tensors in it.
        window: The step's micro-batches.
        optimizer: Owns the trainable tensors.
        learning_rates: `[arm]`, of this step.
        active: `[arm]`, False for arms that were stopped.
        clip_norm: Largest L2 norm of an arm's gradient, or None.
    """
    num_arms = len(learning_rates)
    tokens = torch.stack([count_by_arm(b.loss_mask, num_arms) for b in window]).sum(dim=0)
    totals = torch.zeros(num_arms)
    for batch in window:
        losses = supervised_losses(model, batch.token_ids, batch.loss_mask)
        means = sum_by_arm(losses, batch.loss_mask, num_arms) / tokens
        means.sum().backward()
        totals += means.detach().float().cpu()
    norms = optimizer.grad_norms()
    finite = torch.isfinite(norms) & torch.isfinite(totals)
    optimizer.step(learning_rates, clip_factors(norms, clip_norm), active & finite)
    return StepResult(totals, tokens, norms, finite)


def clip_factors(norms: Tensor, clip_norm: float | None) -> Tensor:
    """Give what each arm's gradient is multiplied by, `[arm]`.

    Source: torch.nn.utils.clip_grad_norm_, its 1e-6 included, applied to each arm alone.
    """
    if clip_norm is None:
        return torch.ones_like(norms)
    return (clip_norm / (norms + 1e-6)).clamp(max=1.0)
