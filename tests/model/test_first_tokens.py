import pytest
import torch
from transformers import PreTrainedModel

from rankshift.grid import ALL_PROJECTIONS
from rankshift.model.adapters import AdapterShape, insert_adapters
from rankshift.model.first_tokens import weigh_first_tokens

PROMPTS = [(7, 200, 13), (5, 5, 80, 91, 120, 3), (61,), (9, 9), (30, 31, 32, 33)]


@torch.no_grad()
def test_first_tokens_are_as_likely_as_after_each_prompt_alone_and_arm_by_arm(
    tiny_model: PreTrainedModel,
):
    alone = [torch.log_softmax(tiny_model(torch.tensor([p])).logits[0, -1], -1) for p in PROMPTS]
    layers = insert_adapters(
        tiny_model, [AdapterShape(2, 2.0), AdapterShape(3, 2.0)], ALL_PROJECTIONS
    )
    for layer in layers:  # the second arm alone is another model
        own = layer.segments[1]
        layer.lora_B[own.start : own.stop].normal_(
            std=0.5, generator=torch.Generator().manual_seed(1)
        )
    found = weigh_first_tokens(tiny_model, PROMPTS, 2, pad_token=256)
    assert found.shape[:2] == (2, len(PROMPTS))
    for place, expected in enumerate(alone):
        assert found[0, place] == pytest.approx(expected, abs=1e-4)
        assert (found[1, place] - expected).abs().max() > 1e-2
