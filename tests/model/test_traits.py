from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
)

from rankshift.model.traits import Traits, find_traits

SMALL: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


def build(config: PreTrainedConfig, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Build a small model with weights that differ enough to be told apart."""
    model = AutoModelForCausalLM.from_config(config).eval()
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.data.normal_(std=0.3, generator=generator)
    return model.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "config", [LlamaConfig(**SMALL), Qwen2Config(**SMALL)], ids=["llama", "qwen"]
)
def test_models_with_causal_attention_pack_and_have_a_plain_head(
    config: PreTrainedConfig, dtype: torch.dtype
):
    assert find_traits(build(config, dtype)) == Traits(packs=True, plain_head=True)


def test_a_sliding_window_is_not_packed():
    config = MistralConfig(**SMALL, sliding_window=8)
    assert find_traits(build(config)) == Traits(packs=False, plain_head=True)


@pytest.mark.parametrize(
    "config",
    [
        Gemma2Config(**SMALL, head_dim=8, final_logit_softcapping=30.0),
        CohereConfig(**SMALL, logit_scale=0.25),
    ],
    ids=["soft-capped", "scaled"],
)
def test_what_follows_the_head_is_noticed(config: PreTrainedConfig):
    assert not find_traits(build(config)).plain_head


def test_a_state_that_runs_through_documents_is_not_packed():
    config = MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=2, state_size=4)
    assert not find_traits(build(config)).packs


def test_attention_that_does_not_learn_of_documents_is_not_packed():
    config = GPT2Config(vocab_size=64, n_embd=16, n_layer=2, n_head=2, attn_pdrop=0.0)
    model = build(config)
    model.config._attn_implementation = "sdpa"
    for block in model.transformer.h:  # pyright: ignore
        forward = block.forward
        block.forward = lambda *args, forward=forward, **kw: forward(
            *args, **{name: value for name, value in kw.items() if name != "documents"}
        )
    assert not find_traits(model).packs
