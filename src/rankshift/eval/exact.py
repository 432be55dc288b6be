"""A local model as a judge: the probability of every reply it may give, by teacher forcing.

A tokenizer that splits numbers gives no first token that is a score. So every reply, the integers 0
to 100 and the rubric's words, is scored whole: the product of its tokens' probabilities, and for a
number the probability that no further digit follows, which tells 1 from 10 and 100.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from rankshift.data.conversations import Message
from rankshift.data.rendering import render_prompt
from rankshift.errors import UserError
from rankshift.eval.calls import Call, record_reading
from rankshift.eval.replies import LEAST_LOGPROB
from rankshift.eval.rubrics import Rubric
from rankshift.eval.scoring import NUMERIC_MASS, WORDS, Reading, read_distribution
from rankshift.model.loading import Tokenizer, load_model, load_tokenizer, padding_token
from rankshift.records import CallRecord

NUMBERS = tuple(str(number) for number in range(101))

ROWS = 32
"""Replies in one forward pass; each has the prompt's keys and values, so memory grows with them."""


@dataclass(frozen=True)
class ExactJudge:
    """A Hugging Face model on this machine that judges."""

    model: PreTrainedModel
    tokenizer: Tokenizer

    async def ask(self, call: Call) -> CallRecord:
        """Score one call; nothing leaves the machine and nothing can fail on the way."""
        replies = list_replies(call.rubric)
        prompt = render_prompt(self.tokenizer, (Message("user", call.prompt),))
        scored = score_replies(self.model, self.tokenizer, prompt, replies)
        logprobs = [max(value, LEAST_LOGPROB) for value in scored]
        best = replies[max(range(len(replies)), key=lambda at: logprobs[at])]
        reading = read_replies(call.rubric, replies, logprobs)
        return replace(
            record_reading(call, reading, attempts=1),
            text=best,
            tokens=replies,
            logprobs=logprobs,
            input_tokens=len(prompt),
            output_tokens=0,
        )


def open_exact(directory: Path) -> ExactJudge:
    """Load a judge.

    Raises:
        UserError: The directory holds no causal language model with a tokenizer.
    """
    return ExactJudge(load_model(directory), load_tokenizer(directory))


def list_replies(rubric: Rubric) -> list[str]:
    """List the replies a rubric allows: the numbers and the words beside them, or its labels.

    Raises:
        UserError: Its reply is more than a number or a word.
    """
    if rubric.reads == "score":
        return [*NUMBERS, *WORDS]
    if rubric.reads == "label":
        return list(rubric.labels)
    raise UserError(
        f"an exact judge cannot be asked for `{rubric.metric}`: its reply is longer than a word; "
        "name a judge that writes, e.g. hf/MODEL"
    )


def read_replies(rubric: Rubric, replies: Sequence[str], logprobs: Sequence[float]) -> Reading:
    """Read a score by the one definition; a label is the likeliest, if all have enough weight."""
    if rubric.reads == "score":
        return read_distribution(replies, logprobs)
    weights = [math.exp(logprob) for logprob in logprobs]
    if math.fsum(weights) < NUMERIC_MASS:
        return Reading(reason="low_mass")
    return Reading(label=replies[max(range(len(replies)), key=lambda at: weights[at])])


@torch.no_grad()
def score_replies(
    model: PreTrainedModel, tokenizer: Tokenizer, prompt: Sequence[int], replies: Sequence[str]
) -> list[float]:
    """Give the log-probability of each reply after a prompt, nats, `[reply]`.

    A reply counts in the one way the tokenizer writes it. The prompt is computed once.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        prompt: Tokens of the conversation up to the judge's turn.
        replies: Texts; after one that is a number the probability of a further digit is left out.
    """
    rows = [tokenizer.encode(reply, add_special_tokens=False) for reply in replies]
    digits = _find_digits(tokenizer).to(model.device)
    ids = torch.tensor([list(prompt)], device=model.device)
    prefix = model(ids, use_cache=True)
    first = prefix.logits[0, -1].float().log_softmax(-1)
    scores: list[float] = []
    for start in range(0, len(rows), ROWS):
        part = rows[start : start + ROWS]
        cache = copy.deepcopy(prefix.past_key_values)
        cache.batch_repeat_interleave(len(part))
        following = _follow(model, part, cache, len(prompt), padding_token(tokenizer))
        for row, reply, after in zip(part, replies[start:], following, strict=False):
            path = torch.cat([first[None], after[: len(row)]])
            total = path[range(len(row)), row].sum()
            if reply in NUMBERS:
                total = total + torch.log1p(-path[len(row)][digits].exp().sum().clamp(max=1.0))
            scores.append(float(total))
    return scores


def _follow(
    model: PreTrainedModel, rows: list[list[int]], cache: DynamicCache, past: int, pad: int
) -> Tensor:
    """Give the log-probabilities after each token of each row, `[row, token, vocabulary]`."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows], device=model.device)
    positions = torch.arange(past, past + longest, device=model.device)[None].expand(len(rows), -1)
    # Padding is on the right, where causal attention cannot see it.
    logits = model(ids, past_key_values=cache, position_ids=positions, use_cache=True).logits
    return logits.float().log_softmax(-1)


def _find_digits(tokenizer: Tokenizer) -> Tensor:
    """Find the tokens that would make a number longer: those that begin with a digit."""
    found = [
        token
        for token in range(len(tokenizer))
        if tokenizer.decode([token])[:1] in tuple("0123456789")
    ]
    return torch.tensor(found, dtype=torch.long)
