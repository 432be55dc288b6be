"""How likely a model finds given tokens: the loss of training and of every held-out set."""

import torch
from torch import Tensor
from transformers import PreTrainedModel


def supervised_losses(model: PreTrainedModel, token_ids: Tensor, loss_mask: Tensor) -> Tensor:
    """Give the negative log-likelihood of every supervised token, nats, row by row `[supervised]`.

    The output head sees only the positions that predict a supervised token, so whatever the model
    does after its head (scaling, soft-capping) is applied as its authors wrote it. Rows are padded
    on the right: under causal attention padding cannot reach a real token, so no attention mask is
    needed.

    Args:
        model: A causal language model.
        token_ids: `[row, seq]`, padded on the right.
        loss_mask: `[row, seq]`, True where the token itself is supervised; never its first column.
    """
    predicts = loss_mask[:, 1:]
    head = model.get_output_embeddings()
    assert head is not None, "a causal language model has an output head"
    keep = head.register_forward_pre_hook(lambda _, args: (args[0][:, :-1][predicts],))
    try:
        logits = model(input_ids=token_ids, use_cache=False).logits
    finally:
        keep.remove()
    targets = token_ids[:, 1:][predicts]
    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")


def sum_by_arm(losses: Tensor, loss_mask: Tensor, num_arms: int) -> Tensor:
    """Sum the supervised losses of each arm's rows, `[arm]`; rows come arm by arm."""
    counts = count_by_arm(loss_mask, num_arms).tolist()
    return torch.stack([part.sum() for part in losses.split(counts)])


def count_by_arm(loss_mask: Tensor, num_arms: int) -> Tensor:
    """Count the supervised tokens of each arm, `[arm]`."""
    return loss_mask[:, 1:].reshape(num_arms, -1).sum(dim=1)
