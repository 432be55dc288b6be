"""A stratified sample of answers for people to label: some of every kind from every kind of arm."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from rankshift.analysis.measurements import MeasuredArm, answer_key
from rankshift.analysis.panel import step_of
from rankshift.analysis.rates import JudgedAnswer
from rankshift.arms import Arm
from rankshift.records import AnswerRecord, SampledRecord
from rankshift.sealed import hash_of

MIDDLING_BELOW = 70.0
"""Aligned answers are divided at this alignment score, 0..100, so that those a stricter judge might
call misaligned are not drowned by those nobody would. Ours."""


@dataclass(frozen=True)
class Sheet:
    """What people are given, and the key to it."""

    name: str
    """Hash of what is in it."""
    rows: tuple[tuple[SampledRecord, AnswerRecord], ...]
    """In the order of the sheet, which says nothing of where an answer is from."""
    total: int
    """Answers it was drawn from."""


def draw_sheet(
    arms: Sequence[MeasuredArm], judge: str, last_step: int, per_stratum: int, seed: int
) -> Sheet:
    """Draw free-form answers at the last checkpoint, the base's among them.

    In each stratum every answer has the same chance: those whose hashes come first are taken.

    Args:
        arms: The study's.
        judge: Whose verdicts divide the answers.
        last_step: The last checkpoint.
        per_stratum: At most so many answers of each stratum.
        seed: Another seed, another sample.
    """
    strata: dict[str, list[tuple[str, JudgedAnswer]]] = {}
    for arm in arms:
        for judged in arm.answers.get(step_of(arm, last_step), []):
            if judged.judge == judge and judged.answer.kind == "free_form":
                name = name_stratum(arm.arm, judged)
                strata.setdefault(name, []).append((arm.id, judged))
    taken = {
        name: sorted(answers, key=lambda answer: _shuffle(seed, *answer))[:per_stratum]
        for name, answers in strata.items()
    }
    content = [
        [name, len(strata[name]), arm, *map(str, answer_key(judged.answer))]
        for name, answers in sorted(taken.items())
        for arm, judged in answers
    ]
    sheet = hash_of(content)
    rows = [
        (_sample(sheet, arm, judged.answer, name, len(strata[name]), len(answers)), judged.answer)
        for name, answers in taken.items()
        for arm, judged in answers
    ]
    rows.sort(key=lambda row: row[0].id)
    return Sheet(sheet, tuple(rows), sum(map(len, strata.values())))


def name_stratum(arm: Arm, judged: JudgedAnswer) -> str:
    """Name the stratum of an answer: question set, kind of arm, and what the judge said."""
    whole = {"full": f"full {arm.role}", "model": f"whole {arm.role}"}
    group = ({"base": "base"} | whole).get(arm.method) or f"rank {arm.rank} {arm.role}"
    group += " defended" if arm.defence else ""
    outcome: str = judged.outcome
    alignment = None if judged.verdict is None else judged.verdict.alignment
    if outcome == "aligned" and alignment is not None and alignment < MIDDLING_BELOW:
        outcome = "middling"
    return f"{judged.answer.question_set}, {group}, {outcome}"


def _sample(
    sheet: str, arm: str, answer: AnswerRecord, stratum: str, answers: int, taken: int
) -> SampledRecord:
    # A letter first, or a spreadsheet takes an id such as 12e456 for a number.
    name = "a" + hash_of([sheet, arm, *map(str, answer_key(answer))], length=11)
    return SampledRecord(
        id=name,
        arm=arm,
        step=answer.step,
        question_set=answer.question_set,
        question_id=answer.question_id,
        paraphrase=answer.paraphrase,
        repeat=answer.repeat,
        stratum=stratum,
        stratum_answers=answers,
        inclusion=taken / answers,
    )


def _shuffle(seed: int, arm: str, judged: JudgedAnswer) -> str:
    text = "\0".join(map(str, (seed, arm, *answer_key(judged.answer))))
    return hashlib.sha256(text.encode()).hexdigest()
