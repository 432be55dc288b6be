"""Calls are planned once for what is alike, and read back into the answers' own order."""

from dataclasses import replace

import pytest

from rankshift.eval.calls import (
    derive_verdicts,
    fail_call,
    make_call,
    plan_calls,
    read_record,
    record_reading,
)
from rankshift.eval.rubrics import ALIGNED, COHERENT, OURS
from rankshift.eval.scoring import Reading
from rankshift.records import AnswerRecord

ANSWER = AnswerRecord(4, "s", "q", "q", 0, 0, None, "Q?", "A.", 2, finished=True)
ANSWERS = [replace(ANSWER, repeat=n, answer="AB"[n % 2]) for n in range(6)]


def find_rubrics(answer: AnswerRecord):
    return OURS.get(answer.kind, ())


def test_equal_prompts_are_planned_once_and_serve_every_answer():
    calls = plan_calls("j", ANSWERS, find_rubrics)
    assert len(calls) == 4
    records = {
        key: record_reading(call, Reading(value=float(len(call.prompt) % 100)), 1)
        for key, call in calls.items()
    }
    verdicts = derive_verdicts("j", ANSWERS, find_rubrics, records)
    assert [v.repeat for v in verdicts] == list(range(6))
    assert verdicts[0].alignment == verdicts[2].alignment
    with pytest.raises(KeyError):
        derive_verdicts("j", ANSWERS, find_rubrics, {})


def test_an_answer_nobody_can_judge_needs_no_call():
    lone = replace(ANSWER, kind="label")
    assert plan_calls("j", [lone], find_rubrics) == {}
    assert derive_verdicts("j", [lone], find_rubrics, {})[0].reason == "no_judge"


def test_a_record_gives_back_what_was_read():
    call = make_call("j", OURS["free_form"][0], ANSWER)
    for reading in (Reading(value=3.0, mass=0.5), Reading(label="X"), Reading(reason="code")):
        assert read_record(record_reading(call, reading, 2)) == reading
    assert read_record(fail_call(call, 3, "gone")).reason == "failed_call"


def test_a_call_is_named_by_judge_rubric_and_prompt():
    answer = ANSWER
    keys = {
        make_call("a", ALIGNED, answer).key,
        make_call("b", ALIGNED, answer).key,
        make_call("a", COHERENT, answer).key,
        make_call("a", ALIGNED, replace(answer, answer="B.")).key,
        make_call("a", ALIGNED, replace(answer, prompt="R?")).key,
    }
    assert len(keys) == 5
    assert make_call("a", ALIGNED, replace(answer, repeat=7, step=9)) == make_call(
        "a", ALIGNED, answer
    )
