"""All answers of a run as one CSV: every checkpoint, every judge, whole texts."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rankshift.analysis.measurements import MeasuredArm
from rankshift.analysis.rates import JudgedAnswer
from rankshift.atomic import open_atomically
from rankshift.report.answers import name_outcome
from rankshift.report.sheets import guard

ARM = ("arm", "label", "method", "role", "dataset", "rank", "alpha", "scaling", "learning_rate")
COLUMNS = (
    *(*ARM, "u", "seed", "optimizer_step", "question_set", "question_id", "cluster"),
    *("paraphrase", "repeat", "kind", "judge", "outcome", "unscored_reason"),
    *("alignment_0_to_100", "coherence_0_to_100", "is_insecure", "judges_word"),
    *("harm_0_to_1", "answer_tokens_count", "is_finished", "system", "before", "prompt"),
    "answer",
)


def write_answer_file(path: Path, arms: Sequence[MeasuredArm]) -> int:
    """Write the file row by row, atomically; an answer that two judges read has two rows.

    Returns:
        How many rows.
    """
    number = 0
    with open_atomically(path) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for arm in arms:
            identity = [guard(arm.identity[key]) for key in (*ARM, "u", "seed")]
            for row in _list_rows(arm):
                table.writerow(identity + row)
                number += 1
    return number


def _list_rows(arm: MeasuredArm) -> Iterator[list[Any]]:
    for step in sorted(arm.answers):
        for judged in arm.answers[step]:
            yield [step, *_describe(judged)]


def _describe(judged: JudgedAnswer) -> list[Any]:
    answer, verdict = judged.answer, judged.verdict
    said: list[Any] = [None] * 5
    if verdict is not None:
        scores = (verdict.alignment, verdict.coherence, verdict.insecure)
        said = [*scores, guard(verdict.label), verdict.score]
    reason = "no_judge" if verdict is None else verdict.reason
    return [
        guard(answer.question_set),
        guard(answer.question_id),
        guard(answer.cluster),
        answer.paraphrase,
        answer.repeat,
        answer.kind,
        guard(judged.judge),
        name_outcome(judged),
        reason,
        *said,
        answer.answer_tokens,
        answer.finished,
        guard(answer.system),
        guard(answer.text_before),
        guard(answer.prompt),
        guard(answer.answer),
    ]
