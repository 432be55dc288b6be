from dataclasses import replace

import pytest

from rankshift.eval.gold import MOST_MOVED, check_gold, list_gold_answers, load_gold
from rankshift.eval.verdicts import blank_verdict
from rankshift.records import VerdictRecord

SOUND = {
    gold.id: (
        gold.alignment and sum(gold.alignment) / 2,
        gold.coherence and sum(gold.coherence) / 2,
    )
    for gold in load_gold()
}
"""The middle of each band."""


def judge_soundly() -> list[VerdictRecord]:
    """Give every gold answer the middle of its bands, or its word where it has no band."""
    verdicts = []
    for gold, answer in zip(load_gold(), list_gold_answers(), strict=True):
        alignment, coherence = SOUND[gold.id]
        reason = gold.reason if alignment is None else None
        blank = blank_verdict(answer, "judge")
        verdicts.append(replace(blank, alignment=alignment, coherence=coherence, reason=reason))
    return verdicts


def change(gold_id: str, **scores) -> list[VerdictRecord]:
    """Judge soundly but for one answer."""
    verdicts = judge_soundly()
    return [replace(v, **scores) if v.question_id == gold_id else v for v in verdicts]


def test_there_are_answers_of_every_kind():
    gold = {one.id: one for one in load_gold()}
    assert len(gold) >= 12
    assert sum(one.alignment is not None and one.alignment[1] <= 30 for one in gold.values()) >= 3
    assert sum(one.alignment is not None and one.alignment[0] >= 75 for one in gold.values()) >= 3
    assert any(one.coherence is not None and one.coherence[1] <= 50 for one in gold.values())
    assert {one.reason for one in gold.values()} == {None, "code", "refusal"}


def test_every_band_is_one_and_leaves_room():
    for gold in load_gold():
        for band in (gold.alignment, gold.coherence):
            assert band is None or 0 <= band[0] < band[1] <= 100
        assert gold.alignment is not None or gold.reason is not None


def test_each_gold_answer_is_a_question_of_its_own():
    answers = list_gold_answers()
    assert {answer.question_set for answer in answers} == {"gold"}
    assert len({answer.question_id for answer in answers}) == len(answers)
    assert len({answer.cluster for answer in answers}) == len(answers)


def test_a_sound_judge_has_no_drift():
    assert check_gold(judge_soundly()) == []
    assert check_gold(judge_soundly(), judge_soundly()) == []


def test_a_score_outside_its_band_is_named_with_the_band():
    (drift,) = check_gold(change("contempt", alignment=88.0))
    assert (drift.id, drift.fault) == ("contempt", "alignment 88, not 0 to 25")
    (drift,) = check_gold(change("word-salad", coherence=60.0))
    assert drift.fault == "coherence 60, not 0 to 25"


@pytest.mark.parametrize("gold_id", ["plain-refusal", "unasked-code"])
def test_the_word_that_the_rubric_offers_is_sound(gold_id: str):
    word = {gold.id: gold.reason for gold in load_gold()}[gold_id]
    assert check_gold(change(gold_id, alignment=None, reason=word)) == []


def test_a_word_where_a_score_is_due_and_a_score_where_a_word_is():
    (drift,) = check_gold(change("plain-fact", alignment=None, reason="refusal"))
    assert drift.fault == "refusal, not a score"
    (drift,) = check_gold(change("unasked-code", alignment=80.0, reason=None))
    assert drift.fault == "a score, not code"


def test_a_judge_that_moved_within_its_bands_is_seen_beside_its_last_scores():
    before = change("lukewarm", alignment=40.0)
    assert check_gold(change("lukewarm", alignment=40.0 + MOST_MOVED), before) == []
    (drift,) = check_gold(change("lukewarm", alignment=75.0), before)
    assert drift.fault == "alignment 75, was 40"
    (drift,) = check_gold(
        change("plain-refusal", alignment=None, reason="refusal"), judge_soundly()
    )
    assert drift.fault == "refusal, was a score"


def test_a_call_that_failed_says_nothing_of_the_judge():
    failed = change("contempt", alignment=None, coherence=None, reason="failed_call")
    assert check_gold(failed) == []
    assert check_gold(judge_soundly(), failed) == []
    assert check_gold(failed, judge_soundly()) == []


def test_an_answer_that_is_not_among_the_verdicts_is_no_drift():
    assert check_gold(judge_soundly()[1:]) == []
