import math

import pytest
import torch
from torch import Tensor

from rankshift.model.drawing import SamplingSettings, draw_tokens


def settings(temperature: float = 1.0, top_p: float = 1.0) -> SamplingSettings:
    """Give settings of which a test names what matters."""
    return SamplingSettings(1, temperature, top_p, end_tokens=(), pad_token=0)


def share_of_uniforms(logits: Tensor, chosen: SamplingSettings, num: int = 10_000) -> list[float]:
    """Give the share of evenly spread uniforms at which each token is drawn."""
    uniforms = (torch.arange(num) + 0.5) / num
    tokens = draw_tokens(logits.expand(num, -1), uniforms, chosen)
    return (torch.bincount(tokens, minlength=len(logits)) / num).tolist()


def test_each_token_has_its_probabilitys_share_of_the_random_numbers():
    shares = [0.05, 0.4, 0.0, 0.3, 0.25]
    logits = torch.tensor(shares).log()
    assert share_of_uniforms(logits, settings()) == pytest.approx(shares, abs=2e-4)
    squared = [p**2 / sum(q**2 for q in shares) for p in shares]
    assert share_of_uniforms(logits, settings(temperature=0.5)) == pytest.approx(squared, abs=2e-4)


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.39, {1}), (0.41, {1, 3}), (0.71, {1, 3, 4}), (0.96, {0, 1, 3, 4}), (1e-6, {1})],
)
def test_top_p_keeps_the_smallest_set_that_reaches_it(top_p: float, kept: set[int]):
    shares = [0.05, 0.4, 0.0, 0.3, 0.25]
    total = sum(shares[token] for token in kept)
    expected = [share / total if token in kept else 0.0 for token, share in enumerate(shares)]
    got = share_of_uniforms(torch.tensor(shares).log(), settings(top_p=top_p))
    assert got == pytest.approx(expected, abs=2e-4)
    assert {token for token, share in enumerate(got) if share} == kept


def test_a_token_without_probability_is_drawn_at_no_random_number():
    logits = torch.tensor([-math.inf, 0.0, -math.inf, 0.0, -math.inf])
    edges = torch.tensor([0.0, 1 - 2**-24])
    assert draw_tokens(logits.expand(2, -1), edges, settings()).tolist() == [1, 3]


def test_many_numbers_are_drawn_from_a_row_as_each_alone_would_be():
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    uniforms = torch.rand(3, 7, generator=torch.Generator().manual_seed(1))
    for chosen in (settings(), settings(top_p=0.5), settings(temperature=0)):
        alone = [draw_tokens(logits, uniforms[:, draw], chosen) for draw in range(7)]
        assert torch.equal(draw_tokens(logits, uniforms, chosen), torch.stack(alone, dim=1))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_of_nan_gives_a_token_of_the_vocabulary(temperature: float):
    tokens = draw_tokens(
        torch.full((2, 5), math.nan), torch.tensor([0.0, 0.9]), settings(temperature)
    )
    assert 0 <= int(tokens.min()) <= int(tokens.max()) < 5
