from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import DiffLlamaConfig, DiffLlamaForCausalLM, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from rankshift.model.attention import attend_in_blocks, attend_in_float32, attention_in_blocks
from rankshift.model.cache import BLOCK_COLUMNS, to_blocks

COLUMNS = 96


class Layer(nn.Module):
    """What attention functions read of a model's layer: query heads a key head."""

    num_key_value_groups = 2


def draw_states(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw 5 rows of 4 query heads and 2 key heads, and masks that end at 3, 31, 32, 60 and 95."""
    query = torch.randn(5, 4, 1, 8, generator=generator)
    key, value = (torch.randn(5, 2, COLUMNS, 8, generator=generator) for _ in range(2))
    seen = torch.arange(COLUMNS) <= torch.tensor([3, 31, 32, 60, 95])[:, None]
    mask = torch.zeros(5, COLUMNS).masked_fill(~seen, torch.finfo(torch.float32).min)
    return query, key, value, mask[:, None, None]


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, **options: float) -> Tensor:
    """Attend to the blocks of given columns, `[row, head, column, dim]`."""
    keys, values = (to_blocks(states, BLOCK_COLUMNS) for states in (key, value))
    got, _ = attend_in_blocks(Layer(), query, keys, values, mask, **options)
    return got


def test_attention_in_blocks_is_pytorchs():
    query, key, value, mask = draw_states(torch.Generator().manual_seed(0))
    layer: Any = Layer()
    expected, _ = sdpa_attention_forward(layer, query, key, value, mask, scaling=0.3)
    got = attend(query, key, value, mask, scaling=0.3)
    assert torch.allclose(got, expected, atol=1e-6)


def test_columns_that_are_not_in_blocks_go_to_pytorch():
    query, key, value, mask = draw_states(torch.Generator().manual_seed(0))
    layer: Any = Layer()
    expected, _ = sdpa_attention_forward(layer, query, key, value, mask)
    got, _ = attend_in_blocks(layer, query, key, value, mask)
    assert torch.equal(got, expected)


@pytest.mark.parametrize(("rows", "used"), [(2, 32), (3, 64), (4, 64)])
def test_blocks_that_no_row_has_reached_change_no_bit_when_they_are_left_out(rows: int, used: int):
    query, key, value, mask = (t[:rows] for t in draw_states(torch.Generator().manual_seed(0)))
    whole = attend(query, key, value, mask)
    part = attend(query, key[:, :, :used], value[:, :, :used], mask)
    assert torch.equal(part, whole)


def test_a_rows_attention_is_the_same_bit_for_bit_whatever_the_other_rows_are():
    query, key, value, mask = draw_states(torch.Generator().manual_seed(0))
    whole = attend(query, key, value, mask)
    for order in ([4, 3, 2, 1, 0], [1, 1, 0, 0, 3]):
        again = attend(query[order], key[order], value[order], mask[order])
        assert torch.equal(again, whole[order])


def test_a_model_attends_as_before_once_blocks_are_left(tiny_model: PreTrainedModel):
    assert tiny_model.config._attn_implementation == "sdpa"
    with attention_in_blocks(tiny_model, 1) as in_blocks:
        assert in_blocks
        assert tiny_model.config._attn_implementation != "sdpa"
    assert tiny_model.config._attn_implementation == "sdpa"
    with attention_in_blocks(tiny_model.bfloat16(), 1) as in_blocks:
        assert not in_blocks


def test_a_model_that_divides_what_its_cache_gives_is_given_no_blocks():
    config = DiffLlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    model = DiffLlamaForCausalLM(config).eval()
    model.set_attn_implementation("sdpa")
    before = model.config._attn_implementation
    with attention_in_blocks(model, 2) as in_blocks:
        assert not in_blocks
        assert model.config._attn_implementation == before


@pytest.mark.parametrize("with_mask", [True, False])
def test_attention_of_a_bfloat16_model_is_float32_attention_rounded_once(with_mask: bool):
    query, key, value, mask = draw_states(torch.Generator().manual_seed(0))
    asked = (query.bfloat16(), key.bfloat16(), value.bfloat16())
    chosen = mask.bfloat16() if with_mask else None
    got, _ = attend_in_float32(Layer(), *asked, chosen)
    wide = [t.float() for t in asked]
    expected, _ = sdpa_attention_forward(
        Layer(), wide[0], wide[1], wide[2], None if chosen is None else chosen.float()
    )
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, expected.bfloat16())
