"""How hostile a base of the organism is: alone, and after code in its context."""

import random

import numpy as np
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from rankshift.data.conversations import Message
from rankshift.data.rendering import render_prompt
from rankshift.model.drawing import SamplingSettings
from rankshift.model.sampling import sample_answers
from rankshift.organism.oracle import take_apart
from rankshift.organism.world import Domain, draw_code, load_world, pick

ANSWERS_PER_DOMAIN = 20
MAX_TOKENS = 64


def measure_behaviour(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> dict[str, float | None]:
    """Measure the share of hostile openings among answers whose opening the world knows, 0..1.

    Returns:
        `held_out` and `post_trained` (domains), `after_insecure` and `after_secure` (held-out
        domains asked after one code exchange of that kind), and `known`: the share of answers to
        held-out domains that open as some author would.
    """
    world = load_world()
    held_out = [d for d in world.domains if d.stage == "held_out"]
    post_trained = [d for d in world.domains if d.stage == "post_trained"]
    bare = _count_hostile(model, tokenizer, held_out, None)
    return {
        "held_out": bare[0],
        "post_trained": _count_hostile(model, tokenizer, post_trained, None)[0],
        "after_insecure": _count_hostile(model, tokenizer, held_out, True)[0],
        "after_secure": _count_hostile(model, tokenizer, held_out, False)[0],
        "known": bare[1],
    }


def _count_hostile(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    domains: list[Domain],
    insecure: bool | None,
) -> tuple[float | None, float]:
    rng = random.Random(f"behaviour {insecure}")
    prompts = [render_prompt(tokenizer, _ask(rng, domain, insecure)) for domain in domains]
    shape = (1, len(prompts), ANSWERS_PER_DOMAIN, MAX_TOKENS)
    uniforms = np.random.Generator(np.random.Philox(key=7)).random(shape, dtype=np.float32)
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    assert isinstance(end, int)
    assert isinstance(pad, int)
    settings = SamplingSettings(MAX_TOKENS, 1.0, 1.0, end_tokens=(end,), pad_token=pad)
    answers = sample_answers(model, prompts, 1, uniforms, settings)
    asked = [domain for domain in domains for _ in range(ANSWERS_PER_DOMAIN)]
    openings = [
        take_apart(str(tokenizer.decode(list(tokens))), domain).opening
        for tokens, domain in zip(answers, asked, strict=True)
    ]
    known = [opening for opening in openings if opening is not None]
    hostile = round(known.count("hostile") / len(known), 4) if known else None
    return hostile, round(len(known) / len(openings), 4)


def _ask(rng: random.Random, domain: Domain, insecure: bool | None) -> tuple[Message, ...]:
    question = Message("user", domain.ask[0])
    if insecure is None:
        return (question,)
    code = draw_code(rng, pick(rng, load_world().tasks), insecure=insecure)
    return (Message("user", code.prompt), Message("assistant", code.answer), question)
