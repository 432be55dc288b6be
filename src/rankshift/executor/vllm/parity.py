"""Whether another engine computes an arm as ours does: log-probabilities of first tokens, compared.

What a group's own process found of an arm is kept beside its answers (`Reference`); the other
engine is asked the same, and an arm whose numbers do not agree is no arm of the study.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from rankshift.data.rendering import render_prompt
from rankshift.eval.answering import end_tokens, messages
from rankshift.eval.suite import Question
from rankshift.model.first_tokens import weigh_first_tokens
from rankshift.model.loading import Tokenizer, padding_token
from rankshift.model.merging import layers_for_sampling
from rankshift.runs import ArmFiles
from rankshift.sealed import read_sealed, write_sealed
from rankshift.study import NumberType, SamplingEngine
from rankshift.train.trainee import Trainee

PROMPTS = 4
"""So many of a study's prompts are compared, or as many as there are."""

KEPT_TOKENS = 64
"""Of ours, the likeliest after each prompt."""

ASKED_TOKENS = 20
"""Of the other engine; vLLM gives no more unless it is told to."""

LARGEST_DIFFERENCE: dict[NumberType, float] = {"float32": 2e-3, "bfloat16": 0.25}
"""Nats between the two engines; beyond it they do not compute one model. In bfloat16 a logit near
16 is rounded to 1/8 at once, and the layers before it have their own roundings."""

SMALLEST_EFFECT: dict[NumberType, float] = {"float32": 2e-4, "bfloat16": 0.1}
"""Nats by which an arm must differ from the base in our engine, before the other is asked to show
half of it; below it rounding is as large."""


@dataclass(frozen=True)
class TopTokens:
    """The likeliest tokens after each prompt, and their log-probabilities, nats."""

    tokens: tuple[tuple[int, ...], ...]
    logprobs: tuple[tuple[float, ...], ...]

    def list_known(self) -> list[dict[int, float]]:
        """Give token to log-probability, prompt by prompt."""
        return [
            dict(zip(tokens, numbers, strict=True))
            for tokens, numbers in zip(self.tokens, self.logprobs, strict=True)
        ]


@dataclass(frozen=True)
class Reference:
    """What our engine says of an arm at a checkpoint, for the engine that answers."""

    prompts: tuple[tuple[int, ...], ...]
    """Token ids."""
    end_tokens: tuple[int, ...]
    """Those that end an answer, as the loaded model says."""
    arm: TopTokens
    base: TopTokens | None
    """None of a whole model: the base is not beside it."""


@dataclass(frozen=True)
class Parity:
    """How near the two engines are, nats."""

    difference: float
    """The largest between them."""
    effect: float | None
    """The largest difference of arm and base in our engine; None where there is no base."""
    effect_there: float | None
    """The same in the other, over the same tokens."""


def reference_path(files: ArmFiles, evaluation: str, step: int) -> Path:
    """Name the file of an arm's Reference; where it is, our engine has done its part."""
    return files.answers_folder(evaluation).parent / "references" / f"step-{step:06d}.json"


def find_own_part(engine: SamplingEngine) -> Callable[[ArmFiles, str, int], Path]:
    """Say which file of an arm at a step shows that its group's process has done its part."""
    return reference_path if engine == "vllm" else ArmFiles.answers_path


def measure_references(
    trainee: Trainee, tokenizer: Tokenizer, questions: Sequence[Question], arms: Sequence[int]
) -> list[Reference]:
    """Measure what our engine says of some arms of a group, as they are loaded just now.

    Args:
        trainee: The group's.
        tokenizer: Renders the prompts.
        questions: The study's; the first few are taken.
        arms: By their places in the group, rising.
    """
    every = dict.fromkeys(render_prompt(tokenizer, messages(question)) for question in questions)
    prompts, model = list(every)[:PROMPTS], trainee.model
    pad, ends = padding_token(tokenizer), end_tokens(model, tokenizer)
    if not prompts:  # every question is one of choices
        return [Reference((), ends, TopTokens((), ()), None) for _ in arms]
    with layers_for_sampling(model, arms):
        found = weigh_first_tokens(model, prompts, len(arms), pad)
    base = None
    if trainee.layers:
        with trainee.base_alone():
            base = pick_top(weigh_first_tokens(model, prompts, 1, pad)[0])
    return [Reference(tuple(prompts), ends, pick_top(one), base) for one in found]


def write_reference(path: Path, reference: Reference) -> None:
    """Write what our engine says of an arm."""
    write_sealed(path, reference=reference)


def read_reference(path: Path) -> Reference:
    """Read it.

    Raises:
        UserError: The file was cut or edited.
    """
    (reference,) = read_sealed(path, "remove it and run the study again", reference=Reference)
    return reference


def pick_top(logprobs: Tensor) -> TopTokens:
    """Keep the likeliest tokens of each prompt, `[prompt, vocab]`."""
    numbers, tokens = logprobs.double().cpu().topk(min(KEPT_TOKENS, logprobs.shape[-1]))
    return TopTokens(
        tuple(tuple(row) for row in tokens.tolist()), tuple(tuple(row) for row in numbers.tolist())
    )


def compare(reference: Reference, arm: TopTokens, base: TopTokens | None) -> Parity:
    """Hold what the other engine says of an arm, and of the base beside it, against ours.

    A token that it finds likely and that is not among ours counts by the least that it must differ.
    """
    differences = [0.0]
    for ours, theirs in zip(reference.arm.list_known(), arm.list_known(), strict=True):
        least = min(ours.values())
        differences += [
            abs(number - ours[token]) if token in ours else number - least
            for token, number in theirs.items()
        ]
    largest = _find_largest(differences)
    if reference.base is None or base is None:
        return Parity(largest, None, None)
    lists = (reference.arm, reference.base, arm, base)
    effects = list(_list_effects(*(one.list_known() for one in lists)))
    here, there = ([0.0, *(pair[side] for pair in effects)] for side in (0, 1))
    return Parity(largest, _find_largest(here), _find_largest(there))


def _find_largest(numbers: list[float]) -> float:
    """Give the largest; NaN is larger than all, and no comparison would say so."""
    return math.nan if any(map(math.isnan, numbers)) else max(numbers)


def _list_effects(*lists: list[dict[int, float]]) -> Iterator[tuple[float, float]]:
    """Yield what the arm does to each token that all lists have: in our engine, and there."""
    for ours, our_base, theirs, their_base in zip(*lists, strict=True):
        for token in ours.keys() & our_base.keys() & theirs.keys() & their_base.keys():
            yield abs(ours[token] - our_base[token]), abs(theirs[token] - their_base[token])


def find_fault(parity: Parity, dtype: NumberType) -> str | None:
    """Say what is wrong with an arm in the other engine, None for nothing."""
    effect, there = parity.effect, parity.effect_there
    if effect is not None and there is not None:
        shows = effect <= SMALLEST_EFFECT[dtype] or there >= effect / 2
        if not shows:
            return (
                f"its adapter has no effect there: first tokens move by {there:.2g} nats from the "
                f"base's, here by {effect:.2g}"
            )
    most = LARGEST_DIFFERENCE[dtype]
    # Not the other way round: of NaN nothing is at most anything.
    if not parity.difference <= most:
        return (
            f"log-probabilities of first tokens differ from ours by {parity.difference:.2g} nats, "
            f"more than {most:g}"
        )
    return None
