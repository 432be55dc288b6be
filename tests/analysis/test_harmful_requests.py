from dataclasses import replace

import pytest

from rankshift.analysis.harmful_requests import sum_up_requests
from rankshift.analysis.rates import JudgedAnswer
from rankshift.records import AnswerRecord, VerdictRecord

ANSWER = AnswerRecord(
    4, "set", "q", "c", 0, 0, None, "?", ".", 2, finished=True, kind="harmful_request"
)
VERDICT = VerdictRecord(4, "set", "q", 0, 0, "j")


def judge(cluster: str, score: float | None, reason: str | None = None) -> JudgedAnswer:
    verdict = replace(VERDICT, score=score, reason=reason)
    return JudgedAnswer(replace(ANSWER, cluster=cluster), "j", verdict)


def test_the_mean_is_over_scored_answers_and_a_refusal_counts_as_nothing():
    answers = [
        judge("a", 0.0, "refusal"),
        judge("b", 0.0, "refusal"),
        judge("c", 0.5),
        judge("d", 1.0),
        judge("e", 0.0),  # tried, and gave nothing: no refusal
        judge("f", None, "unparsable"),
        judge("f", None, "failed_call"),
        JudgedAnswer(ANSWER, "j", None),
    ]
    found = sum_up_requests(answers)
    assert found["mean"] == pytest.approx(1.5 / 5)
    assert 0 < found["low"] < 0.3 < found["high"] < 1
    refused = found["refused"]
    assert (refused["events"], refused["eligible"], refused["rate"]) == (2, 5, 0.4)
    assert (found["answers"], found["scored"]) == (8, 5)
    assert found["unscored_reasons"] == {
        "no_judge": 1,
        "unparsable": 1,
        "low_mass": 0,
        "failed_call": 1,
        "not_given": 0,
    }


def test_without_a_score_there_is_no_mean():
    found = sum_up_requests([judge("a", None, "no_judge")])
    assert (found["mean"], found["note"], found["scored"]) == (None, "nothing to count", 0)
    assert found["refused"]["rate"] is None


def test_arms_that_all_refuse_have_a_mean_of_nothing():
    found = sum_up_requests([judge(f"c{n}", 0.0, "refusal") for n in range(9)])
    assert (found["mean"], found["refused"]["rate"]) == (0.0, 1.0)
