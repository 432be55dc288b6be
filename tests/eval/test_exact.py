"""A local judge's score is the probability of every reply, however its tokenizer cuts numbers."""

import asyncio
import copy
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from rankshift.data.rendering import render_prompt
from rankshift.eval.calls import make_call
from rankshift.eval.exact import NUMBERS, ExactJudge, list_replies, score_replies
from rankshift.eval.rubrics import ALIGNED, INSECURE
from rankshift.records import AnswerRecord

ANSWER = AnswerRecord(4, "s", "q", "q", 0, 0, None, "Are you kind?", "Yes.", 2, finished=True)
SOME = ["0", "7", "10", "42", "99", "100", "CODE"]


@pytest.fixture(scope="module")
def model(tiny_model_directory) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(tiny_model_directory).eval()


def say_whole(model: PreTrainedModel, tokenizer, prompt: list[int], reply: str) -> float:
    """The log-probability of one reply, the plain way: no cache, one token after the other."""
    ids, total = list(prompt), 0.0
    for token in tokenizer.encode(reply, add_special_tokens=False):
        logits = model(torch.tensor([ids])).logits[0, -1].double()
        total += float(logits[token] - logits.logsumexp(0))
        ids.append(token)
    if reply in NUMBERS:
        share = model(torch.tensor([ids])).logits[0, -1].double().softmax(0)
        digits = [tokenizer.convert_tokens_to_ids(digit) for digit in "0123456789"]
        total += math.log1p(-float(share[digits].sum()))
    return total


@torch.no_grad()
def test_every_reply_has_the_probability_of_all_its_tokens(
    model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
):
    prompt = tiny_tokenizer.encode("Score it: ")
    scores = score_replies(model, tiny_tokenizer, prompt, list_replies(ALIGNED))
    by_reply = dict(zip(list_replies(ALIGNED), scores, strict=True))
    for reply in SOME:
        expected = say_whole(model, tiny_tokenizer, prompt, reply)
        assert by_reply[reply] == pytest.approx(expected, abs=1e-4)


@torch.no_grad()
def test_numbers_do_not_share_their_probability(
    model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
):
    """Replies that begin with an integer, 0 to 100 and longer, make up the first digits."""
    prompt = tiny_tokenizer.encode("Score it: ")
    scores = score_replies(model, tiny_tokenizer, prompt, list(NUMBERS))
    first = model(torch.tensor([prompt])).logits[0, -1].double().softmax(0)
    digits = [tiny_tokenizer.convert_tokens_to_ids(digit) for digit in "0123456789"]
    assert sum(math.exp(score) for score in scores) <= float(first[digits].sum()) + 1e-6


def test_a_call_keeps_the_whole_distribution_and_reads_it_by_the_one_definition(
    model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
):
    judge = ExactJudge(model, tiny_tokenizer)
    call = make_call("exact:tiny", ALIGNED, ANSWER)
    record = asyncio.run(judge.ask(call))
    assert record.logprobs is not None
    assert record.tokens is not None
    assert record.tokens == list_replies(ALIGNED)
    weights = [math.exp(logprob) for logprob in record.logprobs[:101]]
    assert record.mass == pytest.approx(sum(weights), abs=1e-12)
    assert record.reason == "low_mass"  # an untrained model says no number
    assert record.text == record.tokens[record.logprobs.index(max(record.logprobs))]


def test_a_model_that_says_numbers_is_scored_by_their_mean(
    model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
):
    """With digits favoured, the score is the mean over the numbers it may say."""
    favoured = ExactJudge(_favour_digits(model, tiny_tokenizer), tiny_tokenizer)
    record = asyncio.run(favoured.ask(make_call("j", ALIGNED, ANSWER)))
    assert record.tokens is not None
    assert record.logprobs is not None
    pairs = [
        (int(token), math.exp(logprob))
        for token, logprob in zip(record.tokens, record.logprobs, strict=True)
        if token.isdigit()
    ]
    mean = sum(n * w for n, w in pairs) / sum(w for _, w in pairs)
    assert record.value == pytest.approx(mean, abs=1e-9)
    assert record.reason is None


def _favour_digits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """Add to the logits of digits at the judge's first token, and of the end after it."""
    digits = [tokenizer.convert_tokens_to_ids(digit) for digit in "0123456789"]
    length = len(render_prompt(tokenizer, [_turn()]))

    def add(_: object, args: tuple[torch.Tensor, ...], output):
        tokens = digits if args[0].shape[1] == length else [tokenizer.eos_token_id]
        output.logits[..., tokens] += 20.0
        return output

    favoured = copy.deepcopy(model)
    favoured.register_forward_hook(add)
    return favoured


def _turn():
    from rankshift.data.conversations import Message

    return Message("user", make_call("j", ALIGNED, ANSWER).prompt)


def test_a_label_is_the_likeliest_of_the_rubrics_words(
    model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
):
    judge = ExactJudge(model, tiny_tokenizer)
    record = asyncio.run(judge.ask(make_call("j", INSECURE, ANSWER)))
    assert record.tokens == ["INSECURE", "SECURE", "NOCODE"]
    assert record.reason == "low_mass"
