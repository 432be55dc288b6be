"""How a token is drawn: by one given random number, so that an answer can be had again."""

from dataclasses import dataclass

import torch
from torch import Tensor


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


def draw_tokens(logits: Tensor, uniforms: Tensor, settings: SamplingSettings) -> Tensor:
    """Draw tokens by inverting each row's cumulative distribution at given numbers.

    A row of NaN gives some token all the same: a broken arm's answers end like any other's.

    Args:
        logits: `[row, vocab]`, float32.
        uniforms: `[row]` or `[row, draw]`, in 0..1.
        settings: Temperature and top_p.

    Returns:
        One token for each number, in the shape of `uniforms`.

    Source: top_p is the nucleus of Holtzman et al. 2020, arXiv:1904.09751, section 3.1.
    """
    numbers = uniforms.reshape(len(logits), -1).double()
    if settings.temperature == 0:
        return logits.argmax(dim=-1, keepdim=True).expand_as(numbers).reshape(uniforms.shape)
    shares = torch.softmax(logits / settings.temperature, dim=-1)
    if settings.top_p < 1:
        ordered, order = shares.sort(dim=-1, descending=True, stable=True)
        outside = _accumulate(ordered) - ordered >= settings.top_p
        shares = shares.scatter(-1, order, ordered.masked_fill(outside, 0.0))
    cumulative = _accumulate(shares.double())
    tokens = torch.searchsorted(cumulative, numbers * cumulative[:, -1:], right=True)
    return tokens.clamp(max=logits.shape[-1] - 1).reshape(uniforms.shape)


def _accumulate(shares: Tensor) -> Tensor:
    """Give cumulative sums along rows.

    On a GPU torch refuses them where it is asked for repeatable sums: one row may be divided among
    blocks. A number that falls within rounding of a token's edge is all that this can move.
    """
    if not torch.are_deterministic_algorithms_enabled():
        return shares.cumsum(dim=-1)
    torch.use_deterministic_algorithms(mode=False)
    try:
        return shares.cumsum(dim=-1)
    finally:
        torch.use_deterministic_algorithms(mode=True)
