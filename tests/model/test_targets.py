import pytest
import torch
from transformers import MixtralConfig, MixtralForCausalLM, PreTrainedModel

from rankshift.errors import UserError
from rankshift.grid import ALL_PROJECTIONS, Subset
from rankshift.model.adapters import AdapterShape, insert_adapters
from rankshift.model.targets import block_of, covers, effective_ranks, find_targets, list_of_blocks

ABOVE_WIDTH = 40
"""A rank above every projection's width, which is 16."""


def test_a_rank_above_a_projections_width_reaches_that_width(tiny_model: PreTrainedModel):
    reached = effective_ranks(tiny_model, ABOVE_WIDTH, Subset())
    layers = insert_adapters(tiny_model, [AdapterShape(ABOVE_WIDTH, 1.0)], ALL_PROJECTIONS)
    generator = torch.Generator().manual_seed(0)
    for layer in layers:
        layer.lora_B.normal_(generator=generator)
    products = {layer.name: (layer.lora_A.T @ layer.lora_B).double() for layer in layers}
    assert reached == {name: int(torch.linalg.matrix_rank(p)) for name, p in products.items()}
    assert set(reached.values()) == {16}


def test_a_rank_below_every_width_is_its_own_effective_rank(tiny_model: PreTrainedModel):
    ranks = effective_ranks(tiny_model, 5, Subset(("q_proj", "down_proj"), (1,)))
    assert ranks == {"model.layers.1.self_attn.q_proj": 5, "model.layers.1.mlp.down_proj": 5}


def test_targets_are_found_by_the_last_part_of_their_name(tiny_model: PreTrainedModel):
    assert list(find_targets(tiny_model, Subset(("down_proj", "k_proj")))) == [
        "model.layers.0.self_attn.k_proj",
        "model.layers.0.mlp.down_proj",
        "model.layers.1.self_attn.k_proj",
        "model.layers.1.mlp.down_proj",
    ]


def test_layers_are_found_by_the_number_of_their_block(tiny_model: PreTrainedModel):
    found = find_targets(tiny_model, Subset(layers=(1,)))
    assert len(found) == 7
    assert all(name.startswith("model.layers.1.") for name in found)


def test_the_number_of_a_block_is_the_first_one_in_a_name_and_no_experts():
    name = "model.layers.3.mlp.experts.5.up_proj"
    assert (block_of(name), list_of_blocks(name)) == (3, "layers")
    assert (block_of("h.11.attn.q_proj"), list_of_blocks("h.11.attn.q_proj")) == (11, "h")
    assert (block_of("model.norm_2.q_proj"), list_of_blocks("lm_head")) == (None, None)
    assert covers(Subset(("up_proj",), (3,)), name)
    assert not covers(Subset(("up_proj",), (5,)), name)
    assert not covers(Subset(("q_proj",), (3,)), name)
    assert not covers(Subset(("q_proj",), (0,)), "extra.q_proj")


@pytest.mark.parametrize("target", ["q_prj", "proj", "lm_head", "embed_tokens"])
def test_a_target_that_matches_nothing_is_refused(tiny_model: PreTrainedModel, target: str):
    with pytest.raises(UserError) as caught:
        insert_adapters(tiny_model, [AdapterShape(1)], ("q_proj", target))
    assert str(caught.value) == (
        f"grid.target_modules: `{target}` matches no linear layer of the base, its output head "
        "aside; it has down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"
    )


def test_a_layer_that_the_base_does_not_have_is_refused(tiny_model: PreTrainedModel):
    with pytest.raises(UserError) as caught:
        find_targets(tiny_model, Subset(layers=(0, 2)))
    assert str(caught.value) == (
        "grid.layers: the base has no layer 2; they are numbered from 0 to 1"
    )


def test_a_target_that_no_chosen_layer_has_is_refused():
    config = MixtralConfig(
        vocab_size=16,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=1,
        num_key_value_heads=1,
        num_local_experts=2,
    )
    with torch.device("meta"):
        model = MixtralForCausalLM(config)
    model.get_submodule("model.layers.0.self_attn").add_module("extra", torch.nn.Linear(2, 2))
    with pytest.raises(UserError) as caught:
        find_targets(model, Subset(("q_proj", "extra"), (1,)))
    assert str(caught.value) == (
        "grid.target_modules: `extra` matches no linear layer in layers 1; "
        "leave it out or add layers"
    )
