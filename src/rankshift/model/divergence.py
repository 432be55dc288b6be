"""How far what a finetune predicts is from what its base does: KL(finetune || base), exactly.

For tokens x the divergence at a place t is sum over v of p(v | x_<t) log(p(v | x_<t) / b(v | x_<t))
with p the finetune's and b the base's, over the whole vocabulary, teacher-forced: nothing is
sampled.

Source: the direction is that of the penalty on leaving a reference model, KL(policy || reference):
Ziegler et al. 2019, arXiv:1909.08593, section 2. That a finetune's divergence from the chat model
on data unrelated to the task bears on emergent misalignment: Soligo et al. 2026, arXiv:2602.07852.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.data.batches import TokenBatch
from rankshift.model.head import divide_tokens
from rankshift.model.likelihood import run_to_head


@dataclass(frozen=True)
class Predictions:
    """What a model predicts wherever the next token carries loss."""

    states: Tensor
    """What its linear output head is given, `[supervised, width]`; with another kind of head its
    logits, `[supervised, vocabulary]`."""
    head: Tensor | None
    """The linear head's weight, `[vocabulary, width]`, so that the logits of a whole vocabulary
    need not be kept."""

    def __len__(self) -> int:
        """Count the predicted tokens."""
        return len(self.states)

    @property
    def vocabulary(self) -> int:
        """Give the number of tokens there are."""
        return self.states.shape[1] if self.head is None else len(self.head)

    def read(self, part: slice) -> Tensor:
        """Give log-probabilities, `[part, vocabulary]` in float64."""
        states = self.states[part]
        logits = states if self.head is None else states @ self.head.t()
        return logits.double().log_softmax(dim=1)


@torch.no_grad()
def predict(model: PreTrainedModel, batch: TokenBatch, *, plain_head: bool) -> Predictions:
    """Predict every supervised token of a batch, arm by arm; see `supervised_losses`."""
    batch = batch.to(model.device)
    states, head, logits = run_to_head(model, batch, plain_head=plain_head)
    if not plain_head:
        return Predictions(logits, None)
    assert isinstance(head.weight, Tensor)
    return Predictions(states, head.weight.detach())


def divergences_in_training(
    model: PreTrainedModel, batch: TokenBatch, base: Predictions, *, plain_head: bool
) -> Tensor:
    """Give the divergence of every supervised token of one arm, nats `[supervised]`, to learn from.

    Args:
        model: With the arm's adapter in it; its head is the base's.
        batch: Rows of one arm.
        base: The base's predictions of these rows, in which no gradient goes.
        plain_head: As for `supervised_losses`.
    """
    batch = batch.to(model.device)
    states, head, logits = run_to_head(model, batch, plain_head=plain_head)
    if not plain_head:
        own, reference = logits.float().log_softmax(1), base.states.float().log_softmax(1)
        return (own.exp() * (own - reference)).sum(dim=1)
    found = HeadDivergence.apply(states, head.weight, base.states)
    assert isinstance(found, Tensor)
    return found


class HeadDivergence(torch.autograd.Function):
    """KL(own || base) of two states behind one linear head, some tokens at a time.

    With p the own prediction and d its log-ratio to the base's, the gradient for the own logits is
    p (d - KL), made in the forward pass while the logits are there.
    """

    @staticmethod
    def forward(ctx, states, weight, base):
        """Give the divergence of each token, nats, in float32 `[supervised]`.

        Args:
            ctx: Autograd's.
            states: The arm's, `[supervised, width]`.
            weight: The head's, `[vocabulary, width]`.
            base: The base's, `[supervised, width]`.
        """
        found = states.new_empty(len(states), dtype=torch.float32)
        grad = torch.empty_like(states)
        for part in divide_tokens(len(states), len(weight), states.device.type):
            own, reference = (
                (one[part] @ weight.t()).float().log_softmax(dim=1) for one in (states, base)
            )
            p, ratio = own.exp(), own - reference
            found[part] = (p * ratio).sum(dim=1)
            slope = p * (ratio - found[part, None])
            torch.mm(slope.to(states.dtype), weight, out=grad[part])
        ctx.save_for_backward(grad)
        return found

    @staticmethod
    def backward(ctx, *grad_outputs):
        """Give the gradient for the arm's states."""
        (grad,) = ctx.saved_tensors
        return grad * grad_outputs[0][:, None].to(grad.dtype), None, None


@torch.no_grad()
def sum_divergences(own: Predictions, base: Predictions, counts: Sequence[int]) -> Tensor:
    """Give each arm's divergence from the base, summed over its supervised tokens, nats `[arm]`.

    Args:
        own: Of the arms, one after another.
        base: Of the base, for the tokens of one arm: all have the same.
        counts: How many tokens carry loss, arm by arm.
    """
    assert set(counts) == {len(base)}, (counts, len(base))
    sums = torch.zeros(len(counts), dtype=torch.float64)
    for part in divide_tokens(len(base), base.vocabulary, base.states.device.type):
        reference = base.read(part)
        for arm in range(len(counts)):
            start = arm * len(base) + part.start
            found = own.read(slice(start, start + len(reference)))
            sums[arm] += (found.exp() * (found - reference)).sum().cpu()
    return sums
