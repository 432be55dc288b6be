"""THE training step: the loss of every arm, its gradient, its update."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from rankshift.data.batches import TokenBatch
from rankshift.model.likelihood import sum_by_arm, supervised_losses
from rankshift.model.packing import attention_to_documents
from rankshift.train.defences.guards import Guards
from rankshift.train.optimizer import ArmwiseOptimizer
from rankshift.train.trainee import Trainee


@dataclass(frozen=True)
class Batch:
    """Tokens of some arms that go through the model together, equally many of each arm."""

    arms: range
    """Which of the group's arms, neighbours all."""
    tokens: TokenBatch


@dataclass(frozen=True)
class Moves:
    """How far the arms of a group may move in one step."""

    learning_rates: Tensor
    """`[arm]`, of this step."""
    active: Tensor
    """`[arm]`, False for arms that were stopped."""
    clip_norm: float | None
    """Largest L2 norm of an arm's gradient, or None."""
    step: int = 0
    """Steps taken before."""


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
    trainee: Trainee,
    window: list[Batch],
    optimizer: ArmwiseOptimizer,
    moves: Moves,
    guards: Guards | None = None,
) -> StepResult:
    """Take one optimizer step for every active arm.

    Each arm's loss is divided by its own supervised tokens over the whole accumulation window, then
    the arms are summed: an arm's gradient is what it would be alone, however the window is divided,
    among the processes of a team too.

    Args:
        trainee: The base with the group's trainable tensors in it.
        window: All batches of the step that this process reads, however its rows are divided.
        optimizer: Owns the trainable tensors.
        moves: How far each arm may.
        guards: What defends the arms; None where nothing does.
    """
    guards = guards or Guards([])
    tokens = torch.zeros(len(moves.learning_rates), dtype=torch.long)
    for batch in window:
        tokens[own(batch)] += torch.tensor(batch.tokens.counts)
    tokens = trainee.team.add(tokens)
    totals = torch.zeros(len(tokens), dtype=torch.float64)
    with reading(trainee):
        for batch in window:
            trainee.select(batch.arms)
            with guards.steer(trainee.model, batch.arms):
                means = sum_losses(trainee, batch.tokens).cpu() / tokens[own(batch)]
                means.sum().backward()
            totals[own(batch)] += means.detach()
    guards.add_gradients(trainee, moves.step)
    totals = trainee.team.add(totals)
    for tensors in trainee.tensors:
        trainee.team.add_gradients(tensors)
    norms = optimizer.grad_norms()
    finite = torch.isfinite(norms) & torch.isfinite(totals)
    moved = moves.active & finite
    optimizer.step(moves.learning_rates, clip_factors(norms, moves.clip_norm), moved)
    guards.correct(trainee, moved)
    return StepResult(totals, tokens, norms, finite)


def reading(trainee: Trainee) -> AbstractContextManager[None]:
    """Let the model read rows as they are laid out for it: around forward and backward passes."""
    packs = trainee.traits.packs
    return attention_to_documents(trainee.model) if packs else nullcontext()


def sum_losses(trainee: Trainee, tokens: TokenBatch) -> Tensor:
    """Give the summed loss of each selected arm, nats `[arm]`."""
    losses = supervised_losses(trainee.model, tokens, plain_head=trainee.traits.plain_head)
    return sum_by_arm(losses, tokens)


def divide_passes(num_arms: int, arms_per_pass: int) -> list[range]:
    """Divide a group's arms into those that go through the model together."""
    every = range(num_arms)
    return [every[start : start + arms_per_pass] for start in every[::arms_per_pass]]


def own(batch: Batch) -> slice:
    """Give the places of a batch's arms among the group's."""
    return slice(batch.arms.start, batch.arms.stop)


def clip_factors(norms: Tensor, clip_norm: float | None) -> Tensor:
    """Give what each arm's gradient is multiplied by, `[arm]`.

    Source: torch.nn.utils.clip_grad_norm_, its 1e-6 included, applied to each arm alone.
    """
    if clip_norm is None:
        return torch.ones_like(norms)
    return (clip_norm / (norms + 1e-6)).clamp(max=1.0)
