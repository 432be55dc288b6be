import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from rankshift.grid import ALL_PROJECTIONS
from rankshift.model import queue, slots
from rankshift.model.adapters import AdapterShape, LockStepLinear, insert_adapters
from rankshift.model.drawing import SamplingSettings
from rankshift.model.prefill import PROMPTS_A_CHUNK
from rankshift.model.sampling import sample_answers
from rankshift.model.slots import FEWEST_SLOTS, count_slots

TOKENS, REPEATS = 20, 6
ENDS = tuple(range(12))
"""A twelfth of the vocabulary, so that answers end at any length."""

PROMPTS = [
    tuple(np.random.default_rng(length).integers(0, 144, length).tolist())
    for length in (3, 31, 9, 40, 1, 17, 22, 12, 5, 70, 28)
]

Answers = dict[tuple[int, tuple[int, ...]], list[tuple[int, ...]]]


def build_model(dtype: torch.dtype = torch.float32) -> tuple[PreTrainedModel, list[LockStepLinear]]:
    """Build a Llama wide enough for the kernels of real bases, with three arms in it."""
    config = LlamaConfig(
        vocab_size=144,
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    model = LlamaForCausalLM(config).eval()
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        if weight.ndim > 1:  # norms keep their ones
            weight.data.normal_(std=0.12, generator=generator)
    if dtype == torch.bfloat16:
        model = model.bfloat16()
    shapes = [AdapterShape(2, 1.0), AdapterShape(0), AdapterShape(9, 0.5)]
    layers = insert_adapters(model, shapes, ALL_PROJECTIONS)
    for layer in layers:
        layer.lora_B.data.normal_(std=0.1, generator=generator)
    return model, layers


def sample(
    model: PreTrainedModel,
    places: Sequence[int],
    ends: tuple[int, ...] = ENDS,
    tokens: int = TOKENS,
    temperature: float = 1.0,
) -> Answers:
    """Sample some of the prompts; an answer's numbers are its own, whatever else is asked."""
    numbers = np.random.default_rng(0).random((3, len(PROMPTS), REPEATS, tokens), dtype=np.float32)
    prompts = [PROMPTS[place] for place in places]
    settings = SamplingSettings(tokens, temperature, 1.0, ends, pad_token=0)
    answers = iter(sample_answers(model, prompts, 3, numbers[:, list(places)], settings))
    return {
        (arm, prompt): [next(answers) for _ in range(REPEATS)]
        for arm in range(3)
        for prompt in prompts
    }


def test_slots_depend_on_the_number_of_arms_alone_and_fill_a_product():
    counts = {arms: count_slots(arms) for arms in (1, 2, 5, 10, 28, 400)}
    assert all(count % FEWEST_SLOTS == 0 for count in counts.values())
    assert sorted(counts.values(), reverse=True) == list(counts.values())
    assert counts[400] == FEWEST_SLOTS == 8


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_answer_is_the_same_bit_for_bit_whatever_else_is_asked_and_in_which_order(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
):
    # With the fewest slots an arm may have, every slot is refilled many times.
    monkeypatch.setattr(slots, "MOST_SLOTS", FEWEST_SLOTS)
    model, _ = build_model(dtype)
    everything = range(len(PROMPTS))
    whole = sample(model, everything)
    lengths = {len(answer) for answers in whole.values() for answer in answers}
    assert {0, 1, TOKENS} < lengths
    assert len(lengths) > 10
    for places in (everything[::-1], [4], [9], [2, 7], [10, 3, 0, 6], [5, 1, 8]):
        part = sample(model, places)
        assert part == {key: whole[key] for key in part}


def test_all_logits_of_an_answer_are_the_same_bit_for_bit_in_whatever_slot(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(slots, "MOST_SLOTS", FEWEST_SLOTS)
    model, _ = build_model()
    rows: set[bytes] = set()
    model.lm_head.register_forward_hook(
        lambda _, args, logits: rows.update(row.numpy().tobytes() for row in logits.flatten(0, 1))
    )
    everything = [place for place, prompt in enumerate(PROMPTS) if len(prompt) < 33]
    sample(model, everything)
    whole = set(rows)
    assert len(whole) > 1000
    for places in (everything[::-1], [everything[4]], everything[2:5]):
        rows.clear()
        sample(model, places)
        assert rows <= whole


@pytest.mark.parametrize("temperature", [0.4, 1.0])
def test_answers_that_share_their_first_tokens_are_those_of_answers_that_share_nothing(
    monkeypatch: pytest.MonkeyPatch, temperature: float
):
    monkeypatch.setattr(slots, "MOST_SLOTS", FEWEST_SLOTS)
    model, _ = build_model()
    together_at_most = queue.MOST_TOGETHER
    monkeypatch.setattr(queue, "MOST_TOGETHER", 1)
    apart = sample(model, range(len(PROMPTS)), temperature=temperature)
    monkeypatch.setattr(queue, "MOST_TOGETHER", together_at_most)
    assert sample(model, range(len(PROMPTS)), temperature=temperature) == apart


def test_answers_that_never_differ_are_worked_out_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slots, "MOST_SLOTS", FEWEST_SLOTS)
    model, _ = build_model()
    numbers = np.random.default_rng(0).random((3, 1, 1, TOKENS), dtype=np.float32)
    settings = SamplingSettings(TOKENS, 1.0, 1.0, (), pad_token=0)
    once = sample_answers(model, PROMPTS[:1], 3, numbers, settings)
    passes: list[int] = []
    model.lm_head.register_forward_hook(lambda _, args, logits: passes.append(len(logits)))
    same = np.broadcast_to(numbers, (3, 1, 100, TOKENS)).copy()
    answers = sample_answers(model, PROMPTS[:1], 3, same, settings)
    assert answers == [answer for answer in once for _ in range(100)]
    trial, *others = passes  # of attention, with a token an arm
    assert trial == 3
    assert others == [3 * PROMPTS_A_CHUNK] + [3 * FEWEST_SLOTS] * (TOKENS - 1)


def test_an_end_token_at_the_first_place_is_an_empty_answer():
    model, _ = build_model()
    answers = sample(model, range(3), ends=tuple(range(144)))
    assert {answer for group in answers.values() for answer in group} == {()}


def test_answers_of_one_token_need_no_slot():
    model, _ = build_model()
    answers = sample(model, range(3), ends=(), tokens=1)
    firsts = {key: [answer[:1] for answer in group] for key, group in answers.items()}
    assert answers == firsts
    assert len({answer for group in answers.values() for answer in group}) > 10


@pytest.mark.parametrize("ends", [ENDS, ()])
def test_an_arm_of_nan_ends_and_changes_no_bit_of_another(ends: tuple[int, ...]):
    model, layers = build_model()
    calm = sample(model, range(len(PROMPTS)), ends)
    for layer in layers:
        segment = layer.segments[2]
        layer.lora_B.data[segment.start : segment.stop] = math.nan
    disturbed = sample(model, range(len(PROMPTS)), ends)
    for arm in (0, 1):
        assert all(disturbed[arm, prompt] == calm[arm, prompt] for prompt in PROMPTS)
    assert all(len(answer) <= TOKENS for group in disturbed.values() for answer in group)


def test_sampling_leaves_the_model_as_it_was():
    model, layers = build_model()
    before = {name: type(module) for name, module in model.named_modules()}
    names = list(model.state_dict())
    sample(model, range(3))
    assert {name: type(module) for name, module in model.named_modules()} == before
    assert list(model.state_dict()) == names
    assert all(model.get_submodule(layer.name) is layer for layer in layers)
    assert not any(parameter.is_inference() for parameter in model.parameters())


def test_a_model_that_has_sampled_learns_as_one_that_has_not():
    def gradients(has_sampled: bool) -> list[torch.Tensor]:
        model, layers = build_model()
        if has_sampled:
            sample(model, range(3))
        ids = torch.tensor([PROMPTS[2]] * 3)
        model(ids, labels=ids).loss.backward()
        grads = [factor.grad for layer in layers for pair in layer.factors for factor in pair]
        return [grad for grad in grads if grad is not None]

    fresh, used = gradients(has_sampled=False), gradients(has_sampled=True)
    assert any(grad.any() for grad in fresh)
    assert all(torch.equal(*pair) for pair in zip(fresh, used, strict=True))
