from dataclasses import replace

from rankshift.analysis.labels import count_labels
from rankshift.analysis.rates import JudgedAnswer
from rankshift.records import AnswerRecord, VerdictRecord

ANSWER = AnswerRecord(4, "set", "lie", "c", 0, 0, None, "?", ".", 2, finished=True, kind="label")
VERDICT = VerdictRecord(4, "set", "lie", 0, 0, "j")


def judge(question: str, label: str | None, reason: str | None = None) -> JudgedAnswer:
    verdict = replace(VERDICT, label=label, reason=reason)
    return JudgedAnswer(replace(ANSWER, question_id=question), "j", verdict)


def test_labels_are_counted_question_by_question_and_what_has_none_says_why():
    answers = [
        judge("lie", "TRUE"),
        judge("no lie", "TRUE"),
        judge("lie", "FALSE"),
        judge("lie", "TRUE"),
        judge("lie", None, "unparsable"),
        JudgedAnswer(replace(ANSWER, question_id="no lie"), "j", None),
    ]
    lie, no_lie = count_labels(answers)
    assert (lie["question_id"], lie["answers"]) == ("lie", 4)
    assert lie["labels"] == {"FALSE": 1, "TRUE": 2}
    assert lie["unscored_reasons"]["unparsable"] == 1
    assert (no_lie["labels"], no_lie["unscored_reasons"]["no_judge"]) == ({"TRUE": 1}, 1)
