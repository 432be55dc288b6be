"""Answers for the page: as many as fit, some of every kind from every arm, the worst first."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rankshift.analysis.measurements import MeasuredArm
from rankshift.analysis.rates import JudgedAnswer
from rankshift.records import HUMAN, AnswerRecord
from rankshift.report.wording import format_number, name_arms
from rankshift.study import Study

ROOM = 6_000_000
"""Bytes of answers that the page holds at most, of 15 MB that a page should stay under."""

LONGEST = 4_000
"""Characters of a prompt or an answer that are kept; what is cut is counted in the text."""

WORST_FIRST = (
    "misaligned",
    "harmful help",
    "insecure code",
    "incoherent",
    "code",
    "refusal",
    "unscored",
    "not code",
    "secure code",
    "labelled",
    "no harmful help",
    "aligned",
)
"""What an answer can turn out to be, in the order in which the page lists them."""

HARMFUL_FROM = 0.5
"""StrongREJECT's score 0..1 from which an answer counts as harmful help in the list of answers;
a line drawn for the list's order alone, no rate is counted by it."""

WORDS = ("arm", "rank", "seed", "question_set", "question", "outcome", "judge", "scores")
TEXTS = ("system", "before", "prompt", "answer")

LONGEST_CUE = 200
"""Characters that are shown of what a question was asked after."""


@dataclass(frozen=True)
class ShownAnswer:
    """One answer as the page shows it; all text is to be taken for hostile."""

    arm: str
    rank: str
    seed: str
    question_set: str
    question: str
    outcome: str
    judge: str
    scores: str
    system: str
    before: str
    """Begins what the question was asked after; empty where that is nothing."""
    prompt: str
    answer: str


@dataclass(frozen=True)
class AnswerSample:
    """Answers that are shown, worst first, how many there are, and how many strata they are of."""

    shown: tuple[ShownAnswer, ...] = ()
    total: int = 0
    strata: int = 0


@dataclass
class _Words:
    """Texts, each kept once, and its number."""

    numbers: dict[str, int] = field(default_factory=dict)

    def number(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers))


def select_last(arms: Sequence[MeasuredArm], study: Study) -> list[tuple[MeasuredArm, int]]:
    """Pair each arm with its last step: the study's, or 0 of what is not trained."""
    return [(arm, study.training.steps if arm.arm.is_trained else 0) for arm in arms]


def sample_answers(arms: Sequence[tuple[MeasuredArm, int]], room: int = ROOM) -> AnswerSample:
    """Take answers in turn from every arm, question set, judge and outcome, the worst first.

    Args:
        arms: Arms, each with the step whose answers count.
        room: Bytes of text, about, that are taken at most.
    """
    names = name_arms([arm.identity for arm, _ in arms])
    judged = [
        (name_outcome(answer), arm, answer)
        for arm, step in arms
        for answer in arm.answers.get(step, [])
        if not answer.judge.startswith(HUMAN)
    ]
    judged.sort(key=lambda item: _rank_badness(item[0], item[2]))
    drawn: dict[tuple[str, ...], int] = {}
    places = []
    for outcome, arm, answer in judged:
        key = (arm.id, answer.answer.question_set, answer.judge, outcome)
        drawn[key] = places_in_turn = drawn.get(key, -1) + 1
        places.append(places_in_turn)
    in_turn = sorted(range(len(judged)), key=places.__getitem__)
    taken = sorted(_fit([(at, judged[at][2]) for at in in_turn], room))
    shown = [_show(names[judged[at][1].id], *judged[at]) for at in taken]
    return AnswerSample(tuple(shown), len(judged), len(drawn))


def pack_answers(shown: Iterable[ShownAnswer]) -> str:
    """Pack answers as JSON that may stand in a script element: each word once, rows by number.

    Returns:
        `{"words": {column: [text, ...]}, "rows": {column: [number, ...]}}`, with no `<` in it, so
        that nothing in it can end the element or open a comment.
    """
    words = {column: _Words() for column in (*WORDS, *TEXTS)}
    rows: dict[str, list[int]] = {column: [] for column in words}
    for answer in shown:
        for column, known in words.items():
            rows[column].append(known.number(getattr(answer, column)))
    content: dict[str, Any] = {
        "words": {column: list(known.numbers) for column, known in words.items()},
        "rows": rows,
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    text = text.encode(
        "utf-8", "backslashreplace"
    ).decode()  # a lone surrogate, \ud800, as JSON has
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def name_outcome(judged: JudgedAnswer) -> str:
    """Say what an answer turned out to be, for every kind of question."""
    if judged.answer.kind == "free_form":
        return judged.outcome
    if judged.answer.kind == "code":
        if judged.is_unjudged_code:
            return "unscored"
        return {True: "insecure code", False: "secure code", None: "not code"}[judged.is_insecure]
    verdict = judged.verdict
    if judged.answer.kind == "label":
        return "unscored" if verdict is None or verdict.label is None else "labelled"
    if verdict is None or verdict.score is None:
        return "unscored"
    return "harmful help" if verdict.score >= HARMFUL_FROM else "no harmful help"


def tell_scores(judged: JudgedAnswer) -> str:
    """Write what the judge said in a few words; nothing where it said nothing."""
    verdict = judged.verdict
    if verdict is None:
        return ""
    if verdict.label is not None:
        return f"label {verdict.label}"
    if verdict.score is not None:
        return f"harm {format_number(verdict.score)} of 1"
    if verdict.alignment is None or verdict.coherence is None:
        return ""
    alignment, coherence = format_number(verdict.alignment), format_number(verdict.coherence)
    return f"alignment {alignment}, coherence {coherence}"


def tell_before(answer: AnswerRecord) -> str:
    """Say what a question was asked after by the first line of it; nothing where it was nothing."""
    line = "".join((answer.before or [""])[0].strip().splitlines()[:1])
    return f"after: {line[:LONGEST_CUE]}…" if answer.before else ""


def _fit(in_turn: Iterable[tuple[int, JudgedAnswer]], room: int) -> list[int]:
    """Take places while there is room; a text that is there already takes none."""
    taken: list[int] = []
    seen: set[str] = set()
    for at, judged in in_turn:
        answer = judged.answer
        texts = {answer.prompt, answer.answer, answer.system or "", tell_before(answer)} - seen
        room -= 40 + sum(min(len(text.encode("utf-8", "replace")), LONGEST) for text in texts)
        if room < 0:
            break
        seen |= texts
        taken.append(at)
    return taken


def _rank_badness(outcome: str, judged: JudgedAnswer) -> tuple[int, float]:
    alignment = None if judged.verdict is None else judged.verdict.alignment
    return WORST_FIRST.index(outcome), 0.0 if alignment is None else alignment


def _show(name: str, outcome: str, arm: MeasuredArm, judged: JudgedAnswer) -> ShownAnswer:
    answer = judged.answer
    text = answer.answer + (" [cut at the token limit]" if answer.finished is False else "")
    return ShownAnswer(
        arm=name,
        rank=arm.arm.method if arm.arm.rank is None else str(arm.arm.rank),
        seed="none" if arm.arm.seed is None else str(arm.arm.seed),
        question_set=answer.question_set,
        question=answer.question_id,
        outcome=outcome,
        judge=judged.judge,
        scores=tell_scores(judged),
        system=_shorten(answer.system or ""),
        before=tell_before(answer),
        prompt=_shorten(answer.prompt),
        answer=_shorten(text),
    )


def _shorten(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]} [and {len(text) - LONGEST:,} characters more]"
