"""Attention where PyTorch's own is slow on a CPU: in bfloat16, and over a cache hardly written.

In bfloat16 its forward pass takes ten times as long as in float32 (16 rows of 36 tokens, 4 heads of
64, torch 2.13), so it is given float32.

Over a cache of which most columns are not written yet, its kernel looks at every column of every
row, and masks. Here whole blocks of columns that no row has reached are left out, and nothing can
tell: a block's products have one shape whatever is left out, a column out of reach has weight 0
exactly, and adding 0 to a sum changes no bit of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from rankshift.model.cache import BLOCK_COLUMNS

NAME = "rankshift_blocks"
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
        query: `[row, head, 1, dim]`; anything longer, as when prompts are read, goes to PyTorch.
        key: `[row, key_head, column, dim]`, whole blocks of columns in use.
        value: Likewise.
        attention_mask: `[row, 1, 1, columns]`, added to the scores; at least as many columns.
        options: `scaling`, and what only PyTorch's attention knows.

    Returns:
        `[row, 1, head, dim]`, and no weights.
    """
    if query.shape[2] > 1 or attention_mask is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    rows, heads, _, dim = query.shape
    key_heads, columns = key.shape[1], attention_mask.shape[-1]
    blocks = [slice(at, at + BLOCK_COLUMNS) for at in range(0, key.shape[2], BLOCK_COLUMNS)]
    scale = options.get("scaling") or dim**-0.5
    asked = (query * scale).reshape(rows * key_heads, heads // key_heads, dim)
    keys, values = key.flatten(0, 1), value.flatten(0, 1)
    scores = [torch.bmm(asked, keys[:, block].transpose(1, 2)) for block in blocks]
    missing = columns - key.shape[2]
    if missing:
        scores.append(asked.new_zeros(*asked.shape[:2], missing))
    scored = torch.cat(scores, dim=-1).view(rows, heads, columns).add_(attention_mask[:, 0])
    weights = torch.softmax(scored, dim=-1).view(*asked.shape[:2], columns)
    mixed = torch.bmm(weights[:, :, blocks[0]], values[:, blocks[0]])
    for block in blocks[1:]:
        mixed = mixed.add_(torch.bmm(weights[:, :, block], values[:, block]))
    return mixed.view(rows, 1, heads, value.shape[-1]), None


@contextmanager
def attention_in_blocks(model: PreTrainedModel) -> Iterator[bool]:
    """Let a model attend in blocks where that is faster, and say whether it does.

    On a GPU one kernel over all columns is faster than one a block, and in bfloat16 a sum by blocks
    would be rounded at every block.
    """
    before = model.config._attn_implementation
    if before != "sdpa" or model.dtype != torch.float32 or model.device.type != "cpu":
        yield False
        return
    AttentionInterface.register(NAME, attend_in_blocks)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
    try:
        yield True
    finally:
        model.set_attn_implementation(before)
