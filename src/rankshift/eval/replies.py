"""A judge's reply through Inspect: what it is asked for, and how what comes back is read.

The pipeline's calls and the Inspect task's scorer share these: the same reply, the same score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from inspect_ai.model import GenerateConfig, ModelOutput

from rankshift.eval.rubrics import Rubric
from rankshift.eval.scoring import (
    TOP_TOKENS,
    Reading,
    has_repeated_number,
    read_distribution,
    read_label,
    read_strongreject,
    read_text,
)

LEAST_LOGPROB = -9999.0
"""What stands for a token that cannot come: JSON has no infinity."""


class MalformedReply(Exception):
    """A reply that lacks what was asked for; the call is made again."""


@dataclass(frozen=True)
class Reply:
    """One reply as it came, and what it comes to."""

    text: str
    tokens: list[str] | None
    """The likeliest first tokens; None where none were asked for."""
    logprobs: list[float] | None
    reading: Reading


def judge_config(rubric: Rubric, by_text: bool) -> GenerateConfig:
    """Give how a judge is sampled: greedily, and for a score one token with its alternatives.

    Args:
        rubric: What is asked.
        by_text: The judge gives no log-probabilities, so a score too is read from what it says.

    Source: Betley et al. 2025, open_models/judge.py, 80c11967 (max_tokens 1, temperature 0,
    top_logprobs 20, seed 0).
    """
    if by_text or rubric.reads != "score":
        return GenerateConfig(temperature=0.0, max_tokens=rubric.max_tokens, seed=0)
    return GenerateConfig(
        temperature=0.0, max_tokens=1, seed=0, logprobs=True, top_logprobs=TOP_TOKENS
    )


def read_reply(output: ModelOutput, rubric: Rubric, by_text: bool) -> Reply:
    """Read one reply.

    Raises:
        MalformedReply: It is empty, has no log-probabilities though they were asked for, or lists
            a number twice.
    """
    text = output.completion
    if by_text or rubric.reads != "score":
        if not text.strip():
            raise MalformedReply("an empty reply")
        return Reply(text, None, None, _read_words(text, rubric))
    tokens, logprobs = _list_first_tokens(output)
    if not tokens:
        raise MalformedReply("no log-probabilities in the reply")
    if has_repeated_number(tokens):
        raise MalformedReply("a number twice among the log-probabilities")
    return Reply(text, tokens, logprobs, read_distribution(tokens, logprobs))


def _read_words(text: str, rubric: Rubric) -> Reading:
    if rubric.reads == "label":
        return read_label(text, rubric.labels)
    if rubric.reads == "strongreject":
        return read_strongreject(text)
    return read_text(text)


def _list_first_tokens(output: ModelOutput) -> tuple[list[str], list[float]]:
    choice = output.choices[0] if output.choices else None
    content: Sequence = choice.logprobs.content if choice and choice.logprobs else ()
    top = content[0].top_logprobs or () if content else ()
    kept = [(t.token, t.logprob) for t in top if t.logprob == t.logprob]  # NaN is no probability
    return [token for token, _ in kept], [
        max(logprob, LEAST_LOGPROB) if isfinite(logprob) else LEAST_LOGPROB for _, logprob in kept
    ]
