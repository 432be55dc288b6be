"""What a forecast reads of a base before any data is seen: the persona's direction, by contrasts.

docs/forecast.md says what is measured and why so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import numpy as np
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.analysis.choices import log_odds
from rankshift.data.conversations import Message
from rankshift.data.rendering import Rendered, render_prompt
from rankshift.data.sources import BaseSource, QuestionSource, Source
from rankshift.errors import UserError
from rankshift.eval.answering import end_tokens, messages
from rankshift.eval.choices import ChoiceQuestion
from rankshift.eval.choosing import record_choices, render_options, score_rows
from rankshift.eval.question_files import read_question_file
from rankshift.executor.arm_reader import ROWS_TOGETHER, Reader, open_reader
from rankshift.mechanism.directions import Examples, find_direction
from rankshift.model.drawing import SamplingSettings
from rankshift.model.loading import Tokenizer
from rankshift.model.sampling import sample_answers
from rankshift.model.stream import Change, change_stream
from rankshift.study import Study

SEED = 20261126
LONGEST_ANSWER = 64
"""Tokens of the base's own answers to the contrasts, at most."""


@dataclass(frozen=True)
class Premises:
    """A base, and questions with given aligned and misaligned answers."""

    reader: Reader
    tokenizer: Tokenizer
    contrasts: Sequence[ChoiceQuestion]
    contrasts_sha256: str
    """Of their file."""
    fingerprint: str
    """Of the base."""

    @cached_property
    def options(self) -> list[Rendered]:
        """Render every option of every contrast."""
        return render_options(self.tokenizer, self.contrasts)

    @cached_property
    def direction(self) -> Tensor:
        """Give the persona's direction, `[layer, width]`: misaligned options less aligned ones.

        Raises:
            UserError: No contrast has both.
        """
        sides = [side for question in self.contrasts for side in question.sides]
        examples = Examples(
            states=self.reader.read(self.reader.base, self.options)[0],
            has_trait=np.array([side == "misaligned" for side in sides]),
            questions=tuple(row.row for row in self.options),
            arms=("",) * len(sides),
        )
        return find_direction(examples)

    @cached_property
    def own_answers(self) -> list[Rendered]:
        """Sample the base's own answer to each contrast: texts that no finetune has touched."""
        prompts = [render_prompt(self.tokenizer, messages(one)) for one in self.contrasts]
        answers = self.answer(prompts, LONGEST_ANSWER)
        return [
            mark_answer(prompt, answer)
            for prompt, answer in zip(prompts, answers, strict=True)
            if answer
        ]

    @cached_property
    def own_means(self) -> Tensor:
        """Give the base's mean state of its own answers, `[layer, width]`."""
        return self.reader.read(self.reader.base, self.own_answers)[0].mean(dim=0)

    def answer(self, prompts: Sequence[tuple[int, ...]], most_tokens: int) -> list[tuple[int, ...]]:
        """Sample the base's answer to each prompt, at temperature 1; ends are cut off."""
        generator = np.random.Generator(np.random.Philox(key=SEED))
        draws = generator.random((1, len(prompts), 1, most_tokens), dtype=np.float32)
        ends = end_tokens(self.reader.base, self.tokenizer)
        settings = SamplingSettings(most_tokens, 1.0, 1.0, ends, self.reader.pad_token)
        return sample_answers(self.reader.base, list(prompts), 1, draws, settings)

    @cached_property
    def base_log_odds(self) -> float:
        """Give the base's log-odds of misaligned options, nats, mean over contrasts."""
        return self.weigh(self.reader.base)[0]

    def weigh(
        self,
        model: PreTrainedModel,
        num_arms: int = 1,
        *,
        changes: dict[int, Change] | None = None,
        before: Sequence[Sequence[Message]] = (),
    ) -> list[float]:
        """Give each arm's log-odds of misaligned options, nats, mean over contrasts.

        Args:
            model: The base with the adapters of `num_arms` arms, or without any for one.
            num_arms: How many.
            changes: Of the residual stream, by layer.
            before: Turns in front of each contrast.
        """
        rows = render_options(self.tokenizer, self.contrasts, before) if before else self.options
        with change_stream(model, changes or {}):
            scores = score_rows(
                model, rows, num_arms, ROWS_TOGETHER, pad_token=self.reader.pad_token
            )
        return [
            fmean(map(log_odds, record_choices(self.contrasts, rows, own, 0))) for own in scores
        ]


def open_premises(study: Study, base: BaseSource, contrasts: QuestionSource | Source) -> Premises:
    """Make ready to read a study's base with contrasts.

    Args:
        study: Says how the base is held and where it computes.
        base: The base.
        contrasts: Their file.

    Raises:
        UserError: The file is malformed or holds no contrast.
    """
    asked = read_question_file(contrasts.path, contrasts.name).choices
    check_contrasts(asked, contrasts.name)
    reader, tokenizer = open_reader(study, base.directory)
    return Premises(reader, tokenizer, asked, contrasts.sha256, base.fingerprint)


def mark_answer(prompt: Sequence[int], answer: Sequence[int]) -> Rendered:
    """Put an answer behind its prompt, its tokens marked."""
    mask = (False,) * len(prompt) + (True,) * len(answer)
    return Rendered((*prompt, *answer), mask, 0)


def check_contrasts(contrasts: Sequence[ChoiceQuestion], name: str) -> None:
    """Refuse a file without contrasts.

    Raises:
        UserError: It holds no question of type `choice` with both sides.
    """
    if not any({"aligned", "misaligned"} <= set(question.sides) for question in contrasts):
        raise UserError(
            f"{name}: holds no question of type `choice` with aligned and misaligned options; "
            "give a file that does"
        )
