"""Replies that vLLM 0.32.0 gave once, as they came, come to the score of the definition, both ways.

`recorded_vllm.jsonl` has the calls of `tests/services/judge_model.py`, served in float32, about the
first four gold answers; the same weights are made again here from their seed.
"""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rankshift.data.conversations import Message
from rankshift.data.rendering import render_prompt
from rankshift.eval.calls import make_call
from rankshift.eval.exact import score_replies
from rankshift.eval.gold import RUBRICS, list_gold_answers
from rankshift.eval.scoring import read_distribution
from rankshift.records import CallRecord, read_records
from tests.services.judge_model import save_judge

RECORDED = read_records(Path(__file__).parent / "recorded_vllm.jsonl", CallRecord)
CALLS = [
    make_call("openai-api/local/judge", rubric, answer)
    for answer in list_gold_answers()[:4]
    for rubric in RUBRICS
]


@pytest.mark.parametrize("record", RECORDED, ids=range(len(RECORDED)))
def test_a_recorded_distribution_comes_to_its_weighted_mean(record: CallRecord):
    assert record.tokens is not None
    assert record.logprobs is not None
    assert len(record.tokens) == 20
    is_number = np.array([token.isdigit() for token in record.tokens])
    weights = np.exp(np.array(record.logprobs, np.float64)) * is_number
    numbers = np.array([int(token) if token.isdigit() else 0 for token in record.tokens])
    reading = read_distribution(record.tokens, record.logprobs)
    assert reading.value == pytest.approx(float(weights @ numbers / weights.sum()), abs=1e-9)
    assert (reading.value, reading.mass) == (record.value, record.mass)


@torch.no_grad()
def test_teacher_forcing_gives_each_recorded_number_its_recorded_probability(tmp_path: Path):
    """Up to what it adds on purpose: that no digit follows."""
    directory = save_judge(tmp_path / "judge")
    model = AutoModelForCausalLM.from_pretrained(directory).eval()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    digits = [t for t in range(len(tokenizer)) if tokenizer.decode([t])[:1] in [*"0123456789"]]
    assert [call.key for call in CALLS] == [record.key for record in RECORDED]
    for call, record in list(zip(CALLS, RECORDED, strict=True))[:3]:
        assert record.tokens is not None
        prompt = render_prompt(tokenizer, (Message("user", call.prompt),))
        recorded = dict(zip(record.tokens, record.logprobs or [], strict=True))
        numbers = [token for token in recorded if token.isdigit()]
        for number, score in zip(
            numbers, score_replies(model, tokenizer, prompt, numbers), strict=True
        ):
            (token,) = tokenizer.encode(number)
            after = model(torch.tensor([[*prompt, token]])).logits[0, -1].double().softmax(0)
            alone = math.log1p(-float(after[digits].sum()))
            assert score - alone == pytest.approx(recorded[number], abs=1e-3)
