"""Attention over packed rows: every document sees itself alone.

A packed row is many conversations, so that no product is spent on padding. Attention alone takes
them apart: documents of about one length are laid side by side, padded at their ends, and PyTorch's
causal attention runs over each such bucket. Nothing real can see the padding, which comes after it.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from rankshift.data.batches import Documents
from rankshift.model.attention import attend_in_float32

NAME = "rankshift_documents"


class Exchange(torch.autograd.Function):
    """Take rows of a matrix by number, and their gradients back by number: no scattered sums."""

    @staticmethod
    def forward(ctx, x, taken, returned, real):
        """Give the rows `taken`; their gradients come from the rows `returned`, times `real`."""
        ctx.save_for_backward(returned, real)
        return x.index_select(0, taken)

    @staticmethod
    def backward(ctx, *grad_outputs):
        """Give the gradient of x."""
        returned, real = ctx.saved_tensors
        grad_x = grad_outputs[0].index_select(0, returned)
        return grad_x if real is None else grad_x.mul_(real.to(grad_x.dtype)), None, None, None


def attend_to_documents(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    documents: Documents | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend as transformers' attention functions do, within documents where rows are packed.

    Args:
        module: The model's attention layer.
        query: `[row, head, seq, dim]`; so are key and value, of as many heads as they have.
        key: Likewise.
        value: Likewise.
        attention_mask: None: padding is on the right, or there is none.
        documents: Of packed rows.
        options: For PyTorch's attention.

    Returns:
        `[row, seq, head, dim]`, and no weights.
    """
    if documents is None:
        return attend_in_float32(module, query, key, value, attention_mask, **options)
    laid_out = zip(*(_lay_out(x, documents) for x in (query, key, value)), strict=True)
    mixed = [_attend(module, parts, options) for parts in laid_out]
    by_slot = torch.cat([part.flatten(0, 1) for part in mixed]).flatten(1)
    # A place's gradient goes to the one slot that is read; slots that repeat it get none.
    back = Exchange.apply(by_slot, documents.slots, documents.places, documents.real)
    assert isinstance(back, Tensor)
    return back.view(*query.transpose(1, 2).shape[:3], -1), None


def _attend(module: nn.Module, parts: Sequence[Tensor], options: dict[str, Any]) -> Tensor:
    """Attend causally within the documents of one bucket, `[document, slot, head, dim]` each."""
    query, key, value = (part.transpose(1, 2) for part in parts)
    return attend_in_float32(module, query, key, value, None, **options)[0]


def _lay_out(x: Tensor, documents: Documents) -> list[Tensor]:
    """Give the buckets' `[document, slot, head, dim]` of `[row, head, seq, dim]`."""
    by_place = x.transpose(1, 2).flatten(0, 1)
    taken = Exchange.apply(by_place.flatten(1), documents.places, documents.slots, None)
    assert isinstance(taken, Tensor)
    by_slot = taken.view(-1, *by_place.shape[1:])
    parts = by_slot.split([math.prod(bucket) for bucket in documents.buckets])
    return [part.unflatten(0, b) for part, b in zip(parts, documents.buckets, strict=True)]


AttentionInterface.register(NAME, attend_to_documents)
# Which documents there are is told apart from the mask, of which a packed row's would be quadratic.
AttentionMaskInterface.register(NAME, lambda *_, **__: None)


@contextmanager
def attention_to_documents(model: PreTrainedModel) -> Iterator[None]:
    """Let a model attend within the documents of packed rows, forth and back."""
    before = model.config._attn_implementation
    assert before is not None
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
