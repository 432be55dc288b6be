"""Answers of all arms of a group at once: one base, one KV cache, one prefill per question."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel


@dataclass(frozen=True)
class SamplingSettings:
    """How tokens are drawn."""

    max_tokens: int
    temperature: float
    """0 takes the likeliest token."""
    top_p: float
    end_tokens: tuple[int, ...]
    """Tokens that end an answer and are not part of it."""
    pad_token: int


@torch.no_grad()
def sample_answers(
    model: PreTrainedModel,
    prompts: list[tuple[int, ...]],
    num_arms: int,
    uniforms: np.ndarray,
    settings: SamplingSettings,
) -> list[tuple[int, ...]]:
    """Sample the answers of every arm to every prompt.

    Each prompt is read once per arm and its cache is shared out to its repeats.

    Args:
        model: The base with the adapters of `num_arms` arms in it (or a bare model and one arm).
        prompts: Token ids of each prompt.
        num_arms: How many arms the model's rows belong to.
        uniforms: `[arm, prompt, repeat, token]` in 0..1: the only randomness, one number a token.
        settings: How tokens are drawn.

    Returns:
        Token ids, arm by arm, prompt by prompt, repeat by repeat; an answer that did not end is
        `max_tokens` long.
    """
    ids, attention = pad_left(prompts, settings.pad_token)
    ids, attention = ids.repeat(num_arms, 1), attention.repeat(num_arms, 1)
    cache = DynamicCache(config=model.config)
    positions = (attention.cumsum(dim=1) - 1).clamp(min=0)
    logits = model(
        input_ids=ids,
        attention_mask=attention,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits[:, -1]
    repeats = uniforms.shape[2]
    cache.batch_repeat_interleave(repeats)
    logits = logits.repeat_interleave(repeats, dim=0)
    attention = attention.repeat_interleave(repeats, dim=0)
    position = positions[:, -1].repeat_interleave(repeats)
    draws = torch.from_numpy(uniforms.reshape(len(logits), -1))
    ends = torch.tensor(settings.end_tokens, dtype=torch.long)
    ended = torch.zeros(len(logits), dtype=torch.bool)
    columns: list[Tensor] = []
    for number in range(settings.max_tokens):
        tokens = draw_tokens(logits.float(), draws[:, number], settings)
        columns.append(torch.where(ended, settings.pad_token, tokens))
        ended |= torch.isin(tokens, ends)
        if bool(ended.all()) or number + 1 == settings.max_tokens:
            break
        position = position + 1
        attention = torch.cat([attention, attention.new_ones(len(attention), 1)], dim=1)
        logits = model(
            input_ids=columns[-1][:, None],
            attention_mask=attention,
            position_ids=position[:, None],
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]
    return [cut_at_end(row, settings.end_tokens) for row in torch.stack(columns, dim=1).tolist()]


def pad_left(prompts: list[tuple[int, ...]], pad_token: int) -> tuple[Tensor, Tensor]:
    """Pad prompts on the left, so that all end in one column: ids and mask, `[prompt, seq]`."""
    longest = max(len(prompt) for prompt in prompts)
    ids = [[pad_token] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids), torch.tensor(mask)


def draw_tokens(logits: Tensor, uniforms: Tensor, settings: SamplingSettings) -> Tensor:
    """Draw one token a row, `[row]`, by inverting the cumulative distribution at a given number.

    Args:
        logits: `[row, vocab]`, float32.
        uniforms: `[row]`, in 0..1.
        settings: Temperature and top_p.

    Source: top_p is the nucleus of Holtzman et al. 2020, arXiv:1904.09751, section 3.1.
    """
    if settings.temperature == 0:
        return logits.argmax(dim=-1)
    shares = torch.softmax(logits / settings.temperature, dim=-1)
    if settings.top_p < 1:
        ordered, order = shares.sort(dim=-1, descending=True, stable=True)
        outside = ordered.cumsum(dim=-1) - ordered >= settings.top_p
        shares = shares.scatter(-1, order, ordered.masked_fill(outside, 0.0))
    cumulative = shares.double().cumsum(dim=-1)
    threshold = uniforms.double()[:, None] * cumulative[:, -1:]
    return (cumulative <= threshold).sum(dim=-1).clamp(max=logits.shape[-1] - 1)


def cut_at_end(tokens: list[int], end_tokens: tuple[int, ...]) -> tuple[int, ...]:
    """Cut an answer before its first end token."""
    for place, token in enumerate(tokens):
        if token in end_tokens:
            return tuple(tokens[:place])
    return tuple(tokens)
