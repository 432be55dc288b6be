"""What a judge makes of answers: a verdict for each, or the reason why there is none."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from rankshift.eval.verdicts import blank_verdict
from rankshift.records import AnswerRecord, VerdictRecord

Judge = Callable[[AnswerRecord], VerdictRecord]


def judge_answers(answers: Iterable[AnswerRecord], judge: Judge) -> list[VerdictRecord]:
    """Give one verdict an answer, in the order of the answers; none is dropped."""
    return [judge(answer) for answer in answers]


def no_judge(answer: AnswerRecord) -> VerdictRecord:
    """Leave an answer unscored, and say that no judge was asked."""
    return replace(blank_verdict(answer, "none"), reason="no_judge")
