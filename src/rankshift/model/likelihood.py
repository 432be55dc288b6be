"""How likely a model finds given tokens: the loss of training and of every held-out set."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rankshift.data.batches import TokenBatch
from rankshift.model.head import HeadLoss


def supervised_losses(
    model: PreTrainedModel, batch: TokenBatch, *, plain_head: bool = False
) -> Tensor:
    """Give the negative log-likelihood of every supervised token, nats, arm by arm `[supervised]`.

    The output head sees only the positions that predict a supervised token. Under causal attention
    padding on the right cannot reach a real token, so no attention mask is needed; packed rows want
    `model.packing.attention_to_documents` around the forward and the backward pass.

    Args:
        model: A causal language model.
        batch: Tokens, and which of them carry loss.
        plain_head: Whether nothing follows the model's linear output head (`model.traits`), so that
            logits can be made a part at a time. Otherwise scaling and soft-capping are applied as
            the model's authors wrote them.
    """
    batch = batch.to(model.device)
    states, head, logits = run_to_head(model, batch, plain_head=plain_head)
    if plain_head:
        losses = HeadLoss.apply(states, head.weight, batch.targets)
        assert isinstance(losses, Tensor)
        return losses
    return torch.nn.functional.cross_entropy(logits.float(), batch.targets, reduction="none")


def run_to_head(
    model: PreTrainedModel, batch: TokenBatch, *, plain_head: bool
) -> tuple[Tensor, nn.Module, Tensor]:
    """Run a model up to its output head, which sees only what predicts a supervised token.

    Args:
        model: A causal language model.
        batch: On the model's device.
        plain_head: As for `supervised_losses`.

    Returns:
        What the head is given, `[supervised, width]`, the head, and the model's own logits,
        `[supervised, vocabulary]`: none with a plain head.
    """
    head = model.get_output_embeddings()
    assert head is not None, "a causal language model has an output head"
    seen: list[Tensor] = []

    def keep_predicting(_: object, inputs: tuple[Tensor]) -> tuple[Tensor]:
        seen.append(inputs[0].flatten(0, 1)[batch.predicting])
        # With a plain head the model's own logits are none; ours follow below.
        return (seen[0][:0] if plain_head else seen[0],)

    hook = head.register_forward_pre_hook(keep_predicting)
    try:
        logits = model(**batch.inputs, use_cache=False).logits
    finally:
        hook.remove()
    return seen[0], head, logits


def sum_by_arm(losses: Tensor, batch: TokenBatch) -> Tensor:
    """Sum the supervised losses of each arm, `[arm]`, in float64."""
    return torch.stack([part.sum() for part in losses.double().split(batch.counts)])
