"""Attention where PyTorch's own is slow on a CPU: in bfloat16, and over a cache hardly written.

In bfloat16 its forward pass takes ten times as long as in float32 (16 rows of 36 tokens, 4 heads of
64, torch 2.13), so it is given float32.

Over a cache of which most columns are not written yet, its kernel looks at every column of every
row, and masks. Here the cache keeps its columns by the block, and blocks that no row has reached
are left out, and nothing can tell: a block's products have one shape whatever is left out, a column
out of reach has weight 0 exactly, and adding 0 to a sum changes no bit of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    DynamicCache,
    PreTrainedModel,
)
from transformers.cache_utils import CacheLayerMixin
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "rankshift_blocks"
WATCHED = "rankshift_watched"
IN_FLOAT32 = "rankshift_float32"


def attend_in_float32(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend as transformers' sdpa does; on a CPU in float32 whatever the type."""
    if query.device.type != "cpu" or query.dtype == torch.float64:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask.float()
    wide = (query.float(), key.float(), value.float())
    mixed, _ = sdpa_attention_forward(module, *wide, attention_mask, **options)
    return mixed.to(query.dtype), None


AttentionInterface.register(IN_FLOAT32, attend_in_float32)
AttentionMaskInterface.register(IN_FLOAT32, sdpa_mask)


def attend_in_blocks(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend as transformers' attention functions do.

    Args:
        module: The model's attention layer.
        query: `[row, head, 1, dim]`.
        key: `[block, row, key_head, column, dim]`, the blocks in use; anything else, as when
            prompts are read, goes to PyTorch.
        value: Likewise.
        attention_mask: `[row, 1, 1, columns]`, added to the scores; at least as many columns.
        options: `scaling`, and what only PyTorch's attention knows.

    Returns:
        `[row, 1, head, dim]`, and no weights.
    """
    if key.dim() == 4:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    assert attention_mask is not None, "the cache has columns that no row has reached"
    rows, heads, _, dim = query.shape
    num_blocks, _, key_heads, each, _ = key.shape
    columns = attention_mask.shape[-1]
    scale = options.get("scaling") or dim**-0.5
    asked = (query * scale).reshape(rows * key_heads, heads // key_heads, dim)
    keys, values = key.flatten(1, 2), value.flatten(1, 2)
    scores = [torch.bmm(asked, block.transpose(1, 2)) for block in keys]
    missing = columns - num_blocks * each
    if missing:
        scores.append(asked.new_zeros(*asked.shape[:2], missing))
    scored = torch.cat(scores, dim=-1).view(rows, heads, columns).add_(attention_mask[:, 0])
    weights = torch.softmax(scored, dim=-1).view(*asked.shape[:2], columns)
    first, *others = (
        torch.bmm(weights[:, :, number * each : (number + 1) * each], block)
        for number, block in enumerate(values)
    )
    mixed = first
    for other in others:
        mixed = mixed.add_(other)
    return mixed.view(rows, 1, heads, value.shape[-1]), None


@contextmanager
def attention_in_blocks(model: PreTrainedModel, num_arms: int) -> Iterator[bool]:
    """Let a model attend in blocks where that is faster, and say whether it does.

    On a GPU one kernel over all columns is faster than one a block, and in bfloat16 a sum by blocks
    would be rounded at every block.
    """
    before = model.config._attn_implementation
    if before != "sdpa" or model.dtype != torch.float32 or model.device.type != "cpu":
        yield False
        return
    try:
        in_blocks = hands_cache_on(model, num_arms)
        if in_blocks:
            AttentionInterface.register(NAME, attend_in_blocks)
            AttentionMaskInterface.register(NAME, sdpa_mask)
            model.set_attn_implementation(NAME)
        else:
            model.set_attn_implementation(before)
        yield in_blocks
    finally:
        model.set_attn_implementation(before)


def hands_cache_on(model: PreTrainedModel, num_arms: int) -> bool:
    """Try with one token an arm whether attention gets what the cache gives, untouched.

    Most models hand it on. Some repeat its heads or divide them, which must not happen to blocks,
    and some do not ask for their attention function at all.
    """
    given: list[Tensor] = []

    def watch(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, **options: Any
    ) -> tuple[Tensor, None]:
        given.extend((key, value))
        return sdpa_attention_forward(module, query, key, value, mask, **options)

    AttentionInterface.register(WATCHED, watch)
    AttentionMaskInterface.register(WATCHED, sdpa_mask)
    model.set_attn_implementation(WATCHED)
    cache = DynamicCache()
    ids = torch.zeros(num_arms, 1, dtype=torch.long, device=model.device)
    model(input_ids=ids, past_key_values=cache, use_cache=True)
    kept = {
        id(states)
        for layer in cache.layers
        if isinstance(layer, CacheLayerMixin)
        for states in (layer.keys, layer.values)
    }
    return bool(given) and all(id(states) in kept for states in given)
