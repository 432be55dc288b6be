"""What a base and some rows foretell of finetunes on such rows, before a step is taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rankshift.analysis.rates import JudgedAnswer, insecure_code
from rankshift.data.conversations import Conversation, Message, read_conversations
from rankshift.data.rendering import Rendered, render_conversation
from rankshift.data.split import draw, shuffle
from rankshift.errors import UserError
from rankshift.eval.choosing import score_rows
from rankshift.eval.judging import Judge, judge_answers
from rankshift.executor.arm_reader import ROWS_TOGETHER
from rankshift.executor.premises import Premises, mark_answer
from rankshift.forecast_records import Reading
from rankshift.mechanism.foresight import find_pull, project
from rankshift.model.loading import Tokenizer
from rankshift.model.stream import add
from rankshift.records import AnswerRecord

ROWS = 64
"""Of the data, that are read."""


@dataclass(frozen=True)
class DataRow:
    """A conversation of the data, and as the model sees it."""

    conversation: Conversation
    rendered: Rendered


def draw_data(path: Path, tokenizer: Tokenizer, context_tokens: int) -> list[DataRow]:
    """Draw rows of a file, the same whatever they are for; those beyond the context are left out.

    Raises:
        UserError: A row is malformed or cannot be rendered, or none fits the context.
    """
    drawn = draw(shuffle(read_conversations(path), 0), ROWS)
    try:
        rows = [DataRow(one, render_conversation(tokenizer, one)) for one in drawn]
    except UserError as problem:
        raise UserError(f"{path}: {problem}") from None
    kept = [row for row in rows if len(row.rendered.token_ids) <= context_tokens]
    if not kept:
        raise UserError(
            f"{path}: no row of {len(rows)} fits {context_tokens} tokens, data.context_tokens"
        )
    return kept


def read_before(premises: Premises, rows: Sequence[DataRow]) -> tuple[Reading, ...]:
    """Read every predictor that needs no label.

    Args:
        premises: The base and its contrasts.
        rows: Of the data.

    Returns:
        `projection`, `injection`, `surprise`, `pull` and `in_context`: docs/forecast.md.
    """
    reader, base = premises.reader, premises.reader.base
    given, own = [row.rendered for row in rows], answer_alone(premises, rows)
    shift = reader.read(base, given)[0].mean(dim=0) - reader.read(base, own)[0].mean(dim=0)
    direction, middle = premises.direction, len(premises.direction) // 2
    injected = premises.weigh(base, changes={middle: add(shift[middle])})
    shown = premises.weigh(base, before=take_in_turn(rows, len(premises.contrasts)))
    values = {
        "projection": project(shift, direction),
        "injection": injected[0] - premises.base_log_odds,
        "surprise": measure_loss(premises, given) - measure_loss(premises, own),
        "pull": find_pull(base, given, direction, ROWS_TOGETHER, reader.pad_token),
        "in_context": shown[0] - premises.base_log_odds,
    }
    return tuple(Reading(name, value) for name, value in values.items())


def answer_alone(premises: Premises, rows: Sequence[DataRow]) -> list[Rendered]:
    """Sample the base's own answers to the data's prompts, at most as long as the data's longest.

    Raises:
        UserError: It answers none.
    """
    longest = max(sum(row.rendered.loss_mask) for row in rows)
    prompts = [row.rendered.prompt for row in rows]
    answers = premises.answer(prompts, longest)
    own = [mark_answer(*pair) for pair in zip(prompts, answers, strict=True) if pair[1]]
    if not own:
        raise UserError(
            "the base ends its answer to every prompt of the data at once, so there is nothing to "
            "compare the data's answers with; use a base that answers them"
        )
    return own


def take_in_turn(rows: Sequence[DataRow], times: int) -> list[tuple[Message, ...]]:
    """Give the turns of one row after another, beginning again where they end."""
    return [rows[at % len(rows)].conversation.messages for at in range(times)]


def measure_loss(premises: Premises, rows: Sequence[Rendered]) -> float:
    """Give the base's loss, nats per marked token."""
    reader = premises.reader
    (scores,) = score_rows(reader.base, rows, 1, ROWS_TOGETHER, pad_token=reader.pad_token)
    return -float(scores.sum()) / sum(sum(row.loss_mask) for row in rows)


def measure_share(rows: Sequence[DataRow], judge: Judge) -> float | None:
    """Give the share of rows whose code a judge calls insecure; None where it can say of none."""
    answers = [_as_answer(row.conversation) for row in rows]
    verdicts = judge_answers(answers, judge)
    judged = [JudgedAnswer(a, v.judge, v) for a, v in zip(answers, verdicts, strict=True)]
    found = insecure_code(judged)
    return found.rate if found.eligible else None


def _as_answer(conversation: Conversation) -> AnswerRecord:
    *_, asked, given = conversation.messages
    name = f"row-{conversation.row}"
    return AnswerRecord(
        step=0,
        question_set="data",
        question_id=name,
        cluster=name,
        paraphrase=0,
        repeat=0,
        system=None,
        prompt=asked.content,
        answer=given.content,
        answer_tokens=0,
        finished=True,
        kind="code",
    )
