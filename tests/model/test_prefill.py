import torch
from transformers import PreTrainedModel

from rankshift.model.prefill import (
    PROMPTS_A_CHUNK,
    SHORTEST_BUCKET,
    ReadPrompts,
    choose_bucket,
    pad_right,
    read_prompts,
)

PROMPTS = [(7, 200, 13), (5, 5, 80, 91, 120, 3), (61,)]


def test_a_prompts_padded_length_is_a_power_of_two_within_the_models_positions():
    lengths = (1, SHORTEST_BUCKET, SHORTEST_BUCKET + 1, 100)
    assert [choose_bucket(length, None) for length in lengths] == [32, 32, 64, 128]
    assert choose_bucket(100, 120) == 120
    assert choose_bucket(3, 16) == 16


def test_prompts_are_padded_so_that_a_tokens_column_is_its_position():
    assert pad_right([(1, 2, 3), (4,)], 4, 9).tolist() == [[1, 2, 3, 9], [4, 9, 9, 9]]


def keys_of(read: ReadPrompts) -> torch.Tensor:
    """Give the last layer's keys."""
    return read.states[-1][0]


@torch.no_grad()
def test_what_is_read_of_a_padded_prompt_is_what_is_read_of_it_alone(tiny_model: PreTrainedModel):
    read = read_prompts(tiny_model, PROMPTS, 32, 2, pad_token=256)
    assert keys_of(read).shape[:3] == (2 * PROMPTS_A_CHUNK, 2, 32)
    for arm in range(2):
        for place, prompt in enumerate(PROMPTS):
            alone = tiny_model(torch.tensor([prompt]), use_cache=True)
            row = arm * PROMPTS_A_CHUNK + place
            assert torch.allclose(read.logits[row], alone.logits[0, -1], atol=1e-4)
            keys = alone.past_key_values.layers[-1].keys
            assert torch.allclose(keys_of(read)[row, :, : len(prompt)], keys[0], atol=1e-4)


@torch.no_grad()
def test_a_prompt_is_read_the_same_bit_for_bit_whatever_is_read_beside_it(
    tiny_model: PreTrainedModel,
):
    whole = read_prompts(tiny_model, PROMPTS, 32, 1, pad_token=256)
    for place, prompt in enumerate(PROMPTS):
        alone = read_prompts(tiny_model, [prompt], 32, 1, pad_token=256)
        end = len(prompt)
        assert torch.equal(alone.logits[0], whole.logits[place])
        assert torch.equal(keys_of(alone)[0, :, :end], keys_of(whole)[place, :, :end])
