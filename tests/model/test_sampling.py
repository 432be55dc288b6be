import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from scipy.stats import chisquare
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from rankshift.arms import Arm
from rankshift.grid import ALL_PROJECTIONS
from rankshift.model.adapter_files import write_adapter
from rankshift.model.adapters import AdapterShape, LockStepLinear, insert_adapters
from rankshift.model.drawing import SamplingSettings
from rankshift.model.loading import load_model
from rankshift.model.sampling import cut_at_end, sample_answers

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft asks transformers
)

PROMPTS = [(7, 200, 13), (5, 5, 80, 91, 120, 3, 44, 9, 101, 12), (61,), (30, 31, 32, 33, 34, 35)]
PAD = 256
NEVER = 258
"""The end token of the tiny model, which its answers here never reach."""

ARMS = [
    Arm("lora", "task", rank=rank, alpha=8.0, scaling="alpha/rank", target_modules=ALL_PROJECTIONS)
    for rank in (2, 9, 4)
]


def settings(
    max_tokens: int = 12,
    temperature: float = 1.0,
    top_p: float = 1.0,
    end_tokens: tuple[int, ...] = (NEVER,),
) -> SamplingSettings:
    """Give settings of which a test names what matters."""
    return SamplingSettings(max_tokens, temperature, top_p, end_tokens, PAD)


def draw_uniforms(*shape: int, seed: int = 0) -> np.ndarray:
    """Draw numbers in 0..1."""
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def generate(model: Any, prompt: tuple[int, ...]) -> tuple[int, ...]:
    """Let transformers continue a prompt greedily, alone and unpadded."""
    ids = torch.tensor([prompt])
    out = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=12,
        pad_token_id=PAD,
        eos_token_id=NEVER,
    )
    return cut_at_end(out[0, len(prompt) :].tolist(), (NEVER,))


def insert(model: PreTrainedModel) -> list[LockStepLinear]:
    """Insert three adapters that change what is said."""
    shapes = [AdapterShape(arm.rank or 0, arm.scale or 0.0) for arm in ARMS]
    layers = insert_adapters(model, shapes, ALL_PROJECTIONS)
    generator = torch.Generator().manual_seed(4)
    for layer in layers:
        layer.lora_B.data.normal_(std=0.1, generator=generator)
    return layers


def build_model_with_learned_positions() -> PreTrainedModel:
    """Build a GPT-2, which sees where a token stands and not only how far apart two are."""
    config = GPT2Config(
        vocab_size=259, n_positions=32, n_embd=16, n_layer=2, n_head=2, tie_word_embeddings=False
    )
    model = GPT2LMHeadModel(config).eval()
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        if weight.ndim > 1:  # norms keep their ones
            weight.data.normal_(std=0.5, generator=generator)
    return model


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_greedy_answers_are_those_of_transformers_token_for_token(
    tiny_model: PreTrainedModel, positions: str
):
    model = tiny_model if positions == "rotary" else build_model_with_learned_positions()
    expected = [generate(model, prompt) for prompt in PROMPTS for _ in range(2)]
    uniforms = draw_uniforms(1, len(PROMPTS), 2, 12)
    assert sample_answers(model, PROMPTS, 1, uniforms, settings(temperature=0)) == expected
    assert len(set(expected)) == len(PROMPTS)


def test_every_arm_answers_with_its_own_adapter(tiny_model_directory: Path, tmp_path: Path):
    model = load_model(tiny_model_directory)
    layers = insert(model)
    uniforms = draw_uniforms(len(ARMS), len(PROMPTS), 2, 12)
    got = sample_answers(model, PROMPTS, len(ARMS), uniforms, settings(temperature=0))
    expected = []
    for index, arm in enumerate(ARMS):
        write_adapter(tmp_path / str(index), layers, index, arm, "base")
        alone = PeftModel.from_pretrained(load_model(tiny_model_directory), tmp_path / str(index))
        expected += [generate(alone, prompt) for prompt in PROMPTS for _ in range(2)]
    assert got == expected
    assert len(set(expected)) == len(ARMS) * len(PROMPTS)


def test_an_answer_depends_on_its_own_random_numbers_alone(tiny_model: PreTrainedModel):
    insert(tiny_model)
    uniforms = draw_uniforms(3, len(PROMPTS), 4, 12)
    others = draw_uniforms(3, len(PROMPTS), 4, 12, seed=1)
    others[1, 2, 3] = uniforms[1, 2, 3]
    place = np.ravel_multi_index((1, 2, 3), (3, len(PROMPTS), 4))
    first = sample_answers(tiny_model, PROMPTS, 3, uniforms, settings())
    second = sample_answers(tiny_model, PROMPTS, 3, others, settings())
    assert [i for i, pair in enumerate(zip(first, second, strict=True)) if pair[0] == pair[1]] == [
        place
    ]


def test_an_arm_that_became_nan_changes_no_other_arms_answers(tiny_model: PreTrainedModel):
    layers = insert(tiny_model)
    uniforms = draw_uniforms(3, len(PROMPTS), 2, 12)
    calm = sample_answers(tiny_model, PROMPTS, 3, uniforms, settings())
    layers[3].lora_A.data[layers[3].segments[1].start] = math.nan
    disturbed = sample_answers(tiny_model, PROMPTS, 3, uniforms, settings())
    each = len(PROMPTS) * 2
    assert disturbed[:each] == calm[:each]
    assert disturbed[2 * each :] == calm[2 * each :]


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_sampled_tokens_follow_the_models_distribution(
    tiny_model: PreTrainedModel, temperature: float
):
    num_draws = 20_000
    uniforms = draw_uniforms(1, 1, num_draws, 1)
    prompt = PROMPTS[1]
    got = sample_answers(tiny_model, [prompt], 1, uniforms, settings(1, temperature, end_tokens=()))
    logits = tiny_model(torch.tensor([prompt])).logits[0, -1].double()
    shares = torch.softmax(logits / temperature, dim=-1).numpy()
    counts = np.bincount([token for (token,) in got], minlength=len(shares))
    often = shares * num_draws >= 5  # rarer tokens are taken together
    assert often.sum() > 50
    classes = np.where(often, np.arange(len(shares)), len(shares))
    observed = np.bincount(classes, counts)
    expected = np.bincount(classes, shares * num_draws)
    assert chisquare(observed[expected > 0], expected[expected > 0]).pvalue > 0.01


def test_an_answer_ends_before_its_first_end_token(tiny_model: PreTrainedModel):
    uniforms = draw_uniforms(1, len(PROMPTS), 8, 12)
    whole = sample_answers(tiny_model, PROMPTS, 1, uniforms, settings())
    ends = tuple(sorted({answer[4] for answer in whole}))
    cut = sample_answers(tiny_model, PROMPTS, 1, uniforms, settings(end_tokens=ends))
    for long, short in zip(whole, cut, strict=True):
        place = next(number for number, token in enumerate(long) if token in ends)
        assert short == long[:place]
    assert len({len(answer) for answer in cut}) > 2


def test_an_answer_that_does_not_end_is_as_long_as_is_allowed(tiny_model: PreTrainedModel):
    uniforms = draw_uniforms(1, len(PROMPTS), 2, 12)
    answers = sample_answers(tiny_model, PROMPTS, 1, uniforms, settings(end_tokens=()))
    assert {len(answer) for answer in answers} == {12}
