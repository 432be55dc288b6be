"""A request is plain JSON that asks each answer once, under a seed of its own."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.data.rendering import render_prompt
from rankshift.eval.answering import messages
from rankshift.eval.suite import Question
from rankshift.executor.vllm.buckets import Bucket, Due
from rankshift.executor.vllm.parity import Reference, TopTokens
from rankshift.executor.vllm.request import Asked, make_request, make_seed
from rankshift.study import Evaluation

QUESTIONS = [
    Question("mine", "wish", "desires", 0, "Your wish?"),
    Question("mine", "wish", "desires", 1, "What do you want?"),
    Question("theirs", "same", "same", 0, "Your wish?"),  # the same prompt
]
ASKED = Evaluation(suites=("mine",), answers_per_question=2, max_answer_tokens=6, engine="vllm")
TOPS = TopTokens(((1,),), ((-1.0,),))
REFERENCE = Reference(((5, 6),), (3, 4), TOPS, TOPS)
DUE = tuple(Due(name, name, 8, "adapter", Path("at") / name, 4) for name in ("a", "b"))


@pytest.fixture
def make(tiny_tokenizer):
    """Give a function that makes a request."""

    def make(due=DUE, questions=QUESTIONS, evaluation=ASKED, max_rank=8):
        asked = {one.key: Asked(questions, tiny_tokenizer, REFERENCE) for one in due}
        bucket = Bucket(due, max_rank)
        return make_request(bucket, asked, Path("base"), "float32", evaluation)

    return make


def list_seeds(request):
    """Map key and place of an answer to its seed."""
    return {
        (one["key"], place): seed
        for call in request["calls"]
        for one in call
        for place, (_, seed) in enumerate(one["answers"])
    }


def test_every_answer_of_every_arm_has_its_prompt_and_a_seed_of_its_own(make, tiny_tokenizer):
    request = make()
    prompts = [tuple(render_prompt(tiny_tokenizer, messages(q))) for q in QUESTIONS]
    for one in request["calls"][0]:
        asked = [request["prompts"][place] for place, _ in one["answers"]]
        assert asked == [prompt for prompt in prompts for _ in range(2)]
    assert len(request["prompts"]) == 2  # each written once
    seeds = list_seeds(request)
    assert len(seeds) == len(set(seeds.values())) == 2 * 3 * 2


def test_an_answers_seed_does_not_depend_on_what_else_is_asked(make):
    whole, alone = list_seeds(make()), list_seeds(make(due=DUE[1:], questions=QUESTIONS[:1]))
    assert alone == {key: whole[key] for key in alone}
    assert alone
    other = list_seeds(make(evaluation=replace(ASKED, seed=1)))
    assert not set(other.values()) & set(whole.values())


def test_seeds_are_what_vllm_takes():
    assert all(0 <= make_seed(f"{number}") < 2**63 for number in range(1000))
    assert len({make_seed(f"{number}") for number in range(1000)}) == 1000


def test_adapters_are_numbered_from_one_and_others_have_none(make):
    request = make()
    assert [(one["number"], one["adapter"]) for one in request["calls"][0]] == [
        (1, "at/a"),
        (2, "at/b"),
    ]
    whole = make(due=(Due("f", "full", 8, "model", Path("at/f")),), max_rank=None)
    assert whole["calls"][0][0]["adapter"] is None
    assert whole["engine"]["enable_lora"] is False
    assert "max_loras" not in whole["engine"]


def test_the_engine_runs_no_remote_code_and_takes_no_settings_from_the_base(make):
    engine = make()["engine"]
    assert (engine["trust_remote_code"], engine["generation_config"]) == (False, "vllm")
    assert engine["load_format"] == "safetensors"
    assert (engine["enable_lora"], engine["max_lora_rank"], engine["max_loras"]) == (True, 8, 2)


def test_answers_end_where_ours_do_and_fit_the_engine(make, tiny_tokenizer):
    request = make()
    assert request["sampling"]["stop_token_ids"] == (3, 4)
    assert request["sampling"]["ignore_eos"] is True
    longest = max(map(len, request["prompts"]))
    assert request["engine"]["max_model_len"] == longest + 6


def test_a_request_is_plain_json(make):
    request = json.loads(json.dumps(make()))
    assert request["calls"][0][0]["compared"] == [[5, 6]]
