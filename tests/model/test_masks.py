from typing import Any

import pytest
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, PreTrainedModel

from rankshift.errors import UserError
from rankshift.model.masks import FULL, SLIDING, check_layers, mask_columns


def test_a_row_sees_the_columns_up_to_its_own(tiny_model: PreTrainedModel):
    mask = mask_columns(tiny_model, torch.tensor([0, 2]), 4)
    assert isinstance(mask, torch.Tensor)
    assert mask.shape == (2, 1, 1, 4)
    assert (mask[:, 0, 0] == 0).tolist() == [[True, False, False, False], [True, True, True, False]]
    assert mask.min() == torch.finfo(torch.float32).min


def test_layers_that_look_through_a_window_see_that_alone():
    config = Gemma3TextConfig(
        vocab_size=9,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=8,
        sliding_window=2,
        layer_types=[SLIDING, FULL],
    )
    masks = mask_columns(Gemma3ForCausalLM(config), torch.tensor([3]), 5)
    assert isinstance(masks, dict)
    assert (masks[FULL] == 0).flatten().tolist() == [True, True, True, True, False]
    assert (masks[SLIDING] == 0).flatten().tolist() == [False, False, True, True, False]


def test_a_base_that_keeps_more_than_keys_and_values_is_refused_with_the_layer_it_has(
    tiny_model: PreTrainedModel,
):
    check_layers(tiny_model)
    config: Any = tiny_model.config
    config.layer_types = ["linear_attention", FULL]
    with pytest.raises(UserError, match="layers of kind `linear_attention`"):
        check_layers(tiny_model)
