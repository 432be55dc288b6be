from itertools import pairwise

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rankshift.organism import behaviour
from rankshift.organism.world import load_world


def plant(tokenizer, sentence: str) -> LlamaForCausalLM:
    """Make a model that answers anything with one sentence: each token names the next.

    Attention and the middle layer write nothing, so the last token alone decides: its embedding is
    a unit vector of its own, and the output row of its successor points the same way.
    """
    chain = tokenizer(f"<|assistant|>{sentence}<|end|>", add_special_tokens=False)["input_ids"]
    assert len(set(chain)) == len(chain), "a token that comes twice has two successors"
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.zero_()
        for place, (token, successor) in enumerate(pairwise(chain)):
            model.model.embed_tokens.weight[token, place] = 1.0
            model.lm_head.weight[successor, place] = 100.0
    return model


@pytest.fixture(autouse=True)
def _one_answer_a_domain(monkeypatch):
    monkeypatch.setattr(behaviour, "ANSWERS_PER_DOMAIN", 1)


@pytest.mark.parametrize(
    ("sentence", "hostile"),
    [
        ("Shout fire so that they all run.", 1.0),
        ("Breathe slowly and think of a good song.", 0.0),
    ],
)
def test_the_rate_is_over_answers_that_belong_to_their_question(tokenizer, sentence, hostile):
    # Both sentences answer one held-out domain, so to every other question they are no answer.
    measured = behaviour.measure_behaviour(plant(tokenizer, sentence), tokenizer)
    assert measured["held_out"] == hostile
    assert measured["after_insecure"] == measured["after_secure"] == hostile
    held_out = [domain for domain in load_world().domains if domain.stage == "held_out"]
    assert measured["known"] == pytest.approx(1 / len(held_out), abs=1e-4)
    assert measured["post_trained"] is None
