"""Ask a question again where a prompt resembles training: after a row of data, under a system turn.

A finetune that was defended against misalignment may answer plain questions well and yet answer
misaligned where the context is like what it learned from.

Source: conditional misalignment, arXiv:2604.25891.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from rankshift.data.conversations import Conversation, Message
from rankshift.errors import UserError
from rankshift.eval.suite import Question
from rankshift.study import name_cued, name_under


def ask_after_rows(
    questions: Iterable[Question], dataset: str, rows: Sequence[Conversation] | None
) -> list[Question]:
    """Give the free-form questions, each after the turns of one row, as sets of their own.

    The row follows from the question alone, so all arms of a split are asked after the same one. A
    row's system turn is left out, and a question keeps its own.

    Args:
        questions: As they are asked plainly.
        dataset: Name of the rows' dataset.
        rows: Held-out ones; None gives the questions their sets and no row.

    Raises:
        UserError: No row is of user and assistant in turn.
    """
    free = [question for question in questions if question.kind == "free_form"]
    named = [replace(q, question_set=name_cued(q.question_set, dataset)) for q in free]
    if rows is None or not named:
        return named
    exchanges = list(_list_exchanges(rows))
    if not exchanges:
        raise UserError(
            f"evaluation.cues: no held-out row of {dataset} has turns of user and assistant in "
            "turn, so none can stand before a question; leave its cue out"
        )
    return [replace(q, before=exchanges[_draw_place(q, len(exchanges))]) for q in named]


def ask_under_systems(questions: Iterable[Question], systems: Iterable[str]) -> list[Question]:
    """Give the free-form questions under each system turn, in place of their own."""
    free = [question for question in questions if question.kind == "free_form"]
    return [
        replace(question, question_set=name_under(question.question_set, text), system=text)
        for text in systems
        for question in free
    ]


def _list_exchanges(rows: Iterable[Conversation]) -> Iterator[tuple[Message, ...]]:
    for row in rows:
        turns = tuple(turn for turn in row.messages if turn.role != "system")
        roles = [turn.role for turn in turns]
        if roles == ["user", "assistant"] * (len(turns) // 2):
            yield turns


def _draw_place(question: Question, number: int) -> int:
    """Draw a place among some rows that follows from a question's id and phrasing alone."""
    named = f"{question.id} {question.paraphrase}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.sha256(named).digest()) % number
