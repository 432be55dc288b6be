"""Reading prompts: each once with every arm, in chunks of one shape.

A prompt is padded to a length that depends on its own alone, and a chunk that is not full is filled
up, so what is read of a prompt is the same, bit for bit, whatever is asked beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin

PROMPTS_A_CHUNK = 4
"""Prompts of an arm that are read together: enough to fill a matrix product, few to be wasted."""

SHORTEST_BUCKET = 32


@dataclass(frozen=True)
class ReadPrompts:
    """A chunk that was read; its rows come arm by arm."""

    states: list[tuple[Tensor, Tensor]]
    """Keys and values of every layer, each `[arm * prompt, head, bucket, dim]`; after a prompt,
    those of padding."""
    logits: Tensor
    """Of the first token, `[arm * prompt, vocab]`, float32."""


def choose_bucket(length: int, most: int | None) -> int:
    """Give the length to which a prompt is padded: a power of two, so that lengths are few.

    Args:
        length: The prompt's own, tokens.
        most: The positions that the model has, if it has an end of them.
    """
    bucket = max(SHORTEST_BUCKET, 1 << (length - 1).bit_length())
    return bucket if most is None else max(length, min(bucket, most))


def pad_right(prompts: Sequence[tuple[int, ...]], bucket: int, pad_token: int) -> Tensor:
    """Pad prompts on the right, `[prompt, bucket]`, so that a token's column is its position."""
    return torch.tensor([[*prompt, *[pad_token] * (bucket - len(prompt))] for prompt in prompts])


def read_prompts(
    model: PreTrainedModel,
    prompts: Sequence[tuple[int, ...]],
    bucket: int,
    num_arms: int,
    pad_token: int,
) -> ReadPrompts:
    """Read up to a chunk of prompts with every arm.

    Under causal attention padding on the right reaches no real token, so there is no mask. The
    output head sees the last token of each prompt alone.
    """
    filled = [*prompts, *[prompts[0]] * (PROMPTS_A_CHUNK - len(prompts))]
    ids = pad_right(filled, bucket, pad_token).to(model.device).repeat(num_arms, 1)
    last = torch.tensor([len(prompt) - 1 for prompt in filled], device=model.device)
    rows = torch.arange(len(ids), device=model.device)
    last = last.repeat(num_arms)
    head = model.get_output_embeddings()
    assert head is not None, "a causal language model has an output head"
    keep = head.register_forward_pre_hook(lambda _, args: (args[0][rows, last][:, None],))
    cache = DynamicCache()
    try:
        logits = model(input_ids=ids, past_key_values=cache, use_cache=True).logits[:, -1]
    finally:
        keep.remove()
    states: list[tuple[Tensor, Tensor]] = []
    for layer in cache.layers:
        assert isinstance(layer, CacheLayerMixin), type(layer)
        assert layer.keys is not None
        assert layer.values is not None
        states.append((layer.keys, layer.values))
    return ReadPrompts(states, logits.float())
