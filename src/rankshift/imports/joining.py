"""From judged rows of one arm's files to its records: answers once, verdicts for each judge."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from reprlib import repr as shorten

from rankshift.errors import UserError
from rankshift.eval.verdicts import make_verdict
from rankshift.imports.judged import JudgedRow
from rankshift.records import AnswerRecord, VerdictRecord

STEP = 0
"""Imported arms have no steps: they are what they are."""

Key = tuple[str, str, int, int]


@dataclass
class Joined:
    """The records of one arm."""

    answers: dict[Key, AnswerRecord] = field(default_factory=dict)
    """By question set, question, phrasing and repeat, in the order of the files."""
    verdicts: dict[str, dict[Key, VerdictRecord]] = field(default_factory=dict)
    """By judge."""
    prompts: dict[tuple[str, str], list[tuple[str | None, str]]] = field(default_factory=dict)
    """By question set and question: its phrasings, in the order in which they were met."""
    places: dict[Key, str] = field(default_factory=dict)
    """Where each answer was met first."""


def join_files(files: Sequence[tuple[str, Sequence[JudgedRow]]]) -> Joined:
    """Number the answers of one arm and join what its judges said.

    A question's texts are its phrasings, numbered as they are met; its answers are numbered in the
    order of a file. Files of two judges hold the same answers in the same order.

    Args:
        files: Each file's judge and rows.

    Raises:
        UserError: One judge judged a question in two files, two judges' answers differ, or a text
            holds half a character.
    """
    joined = Joined()
    for judge, rows in files:
        met: Counter[tuple[str, str, int]] = Counter()
        for row in rows:
            _refuse_half_characters(row)
            question = (row.question_set, row.question_id)
            phrasings = joined.prompts.setdefault(question, [])
            text = (row.system, row.prompt)
            if text not in phrasings:
                phrasings.append(text)
            phrasing = (*question, phrasings.index(text))
            repeat = met[phrasing] if row.repeat is None else row.repeat
            _add(joined, judge, row, (*phrasing, repeat))
            met[phrasing] += 1
    return joined


def _refuse_half_characters(row: JudgedRow) -> None:
    """Refuse what JSON can hold and no file of text: one half of a UTF-16 pair."""
    texts = (row.question_id, row.cluster, row.system or "", row.prompt, row.answer)
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = shorten(text[error.start])
            raise UserError(
                f"{row.where}: holds {half}, half a character; export it again"
            ) from None


def _add(joined: Joined, judge: str, row: JudgedRow, key: Key) -> None:
    answer = _make_answer(row, key)
    before = joined.answers.setdefault(key, answer)
    first = joined.places.setdefault(key, row.where)
    verdicts = joined.verdicts.setdefault(judge, {})
    if key in verdicts:
        raise UserError(
            f"{row.where}: {judge} judged question {shorten(row.question_id)} already at {first}; "
            "answers of one arm to one question belong in one file"
        )
    if before.answer != answer.answer:
        raise UserError(
            f"{row.where}: is another answer to {shorten(row.question_id)} than at {first}; files "
            "of one arm by several judges hold the same answers in the same order"
        )
    verdicts[key] = make_verdict(answer, judge, row.readings)


def _make_answer(row: JudgedRow, key: Key) -> AnswerRecord:
    question_set, question_id, paraphrase, repeat = key
    return AnswerRecord(
        step=STEP,
        question_set=question_set,
        question_id=question_id,
        cluster=row.cluster,
        paraphrase=paraphrase,
        repeat=repeat,
        system=row.system,
        prompt=row.prompt,
        answer=row.answer,
        answer_tokens=None,
        finished=row.finished,
        temperature=row.temperature,
        max_tokens=row.max_tokens,
    )
