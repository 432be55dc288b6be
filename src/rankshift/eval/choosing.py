"""How likely every arm of a group finds each given answer: teacher forcing, nothing is sampled."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.data.batches import pad_rows
from rankshift.data.conversations import Message
from rankshift.data.rendering import Rendered, render_prompt
from rankshift.errors import UserError
from rankshift.eval.answering import messages
from rankshift.eval.choices import ChoiceQuestion
from rankshift.model.likelihood import supervised_losses
from rankshift.model.loading import Tokenizer
from rankshift.records import ChoiceRecord


def render_options(
    tokenizer: Tokenizer,
    questions: Sequence[ChoiceQuestion],
    before: Sequence[Sequence[Message]] = (),
) -> list[Rendered]:
    """Render every option of every question, one after another; an option's own tokens carry loss.

    A row is the prompt as sampling reads it, then the stem, then the option. Stem and option are
    tokenized as one text, as a model writes them, unless the tokenizer joins the end of the stem
    with the start of the option: then apart, since the stem is given. The end of the turn is no
    part of an option, so an option may be the beginning of an answer. `row` is the question's
    place, counted from 1.

    Args:
        tokenizer: With its chat template.
        questions: What is asked.
        before: Turns in front of each question; none where it is empty.

    Raises:
        UserError: The chat template refuses a question.
    """
    rows = []
    for place, question in enumerate(questions, start=1):
        turns = before[place - 1] if before else ()
        prompt = render_prompt(tokenizer, (*turns, *messages(question)))
        stem = _encode(tokenizer, question.stem)
        for option in question.options:
            whole = _encode(tokenizer, question.stem + option)
            own = whole[len(stem) :] if whole[: len(stem)] == stem else _encode(tokenizer, option)
            if not own:
                raise UserError(
                    f"{question.question_set}: question {question.id}: the tokenizer gives the "
                    f"option {option!r} no token; write another"
                )
            given = (*prompt, *stem)
            mask = (False,) * len(given) + (True,) * len(own)
            rows.append(Rendered((*given, *own), mask, place))
    return rows


@torch.inference_mode()
def score_rows(
    model: PreTrainedModel,
    rows: Sequence[Rendered],
    num_arms: int,
    rows_per_pass: int,
    *,
    pad_token: int,
    plain_head: bool = False,
) -> Tensor:
    """Give the log-probability of the supervised tokens of each row, nats, `[arm, row]` float64.

    Rows of about one length go through the model together, so that little is padded. Numbers depend
    on what shares a pass by 1e-5 relative at most in float32 and are the same, bit for bit, for the
    same questions under the same plan (docs/architecture.md).

    Args:
        model: The base with the adapters of the `num_arms` arms whose rows it sees.
        rows: Prompts with what is scored marked.
        num_arms: How many arms.
        rows_per_pass: How many rows of each arm go through the model together.
        pad_token: Fills rows up.
        plain_head: As for `supervised_losses`.
    """
    scores = torch.empty(num_arms, len(rows), dtype=torch.float64)
    order = sorted(range(len(rows)), key=lambda place: len(rows[place].token_ids))
    for start in range(0, len(order), rows_per_pass):
        places = order[start : start + rows_per_pass]
        part = [rows[place] for place in places]
        losses = supervised_losses(
            model, pad_rows([part] * num_arms, pad_token), plain_head=plain_head
        )
        counts = [sum(row.loss_mask) for row in part] * num_arms
        sums = torch.stack([own.sum() for own in losses.double().cpu().split(counts)])
        scores[:, places] = -sums.view(num_arms, len(places))
    return scores


def record_choices(
    questions: Sequence[ChoiceQuestion],
    rows: Sequence[Rendered],
    scores: Tensor,
    step: int,
) -> list[ChoiceRecord]:
    """Write down one arm's log-probabilities, a record for each question.

    Args:
        questions: What was asked.
        rows: From `render_options`.
        scores: `[row]`, one arm's from `score_rows`.
        step: The checkpoint.
    """
    ends = [0]
    for question in questions:
        ends.append(ends[-1] + len(question.options))
    assert ends[-1] == len(rows) == len(scores)
    return [
        ChoiceRecord(
            step=step,
            question_set=question.question_set,
            question_id=question.id,
            cluster=question.cluster,
            paraphrase=question.paraphrase,
            system=question.system,
            prompt=question.prompt,
            stem=question.stem,
            options=list(question.options),
            sides=list(question.sides),
            logprobs=scores[start:end].tolist(),
            option_tokens=[sum(row.loss_mask) for row in rows[start:end]],
        )
        for question, (start, end) in zip(questions, pairwise(ends), strict=True)
    ]


def _encode(tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
