"""What a judge makes of answers: a verdict for each, or the reason why there is none."""

from collections.abc import Callable, Iterable

from rankshift.records import AnswerRecord, VerdictRecord

Judge = Callable[[AnswerRecord], VerdictRecord]


def judge_answers(answers: Iterable[AnswerRecord], judge: Judge) -> list[VerdictRecord]:
    """Give one verdict an answer, in the order of the answers; none is dropped."""
    return [judge(answer) for answer in answers]


def no_judge(answer: AnswerRecord) -> VerdictRecord:
    """Leave an answer unscored, and say that no judge was asked."""
    return VerdictRecord(
        step=answer.step,
        question_set=answer.question_set,
        question_id=answer.question_id,
        paraphrase=answer.paraphrase,
        repeat=answer.repeat,
        judge="none",
        reason="no_judge",
    )
