"""A task asks the question sets that a study asks, and judges them by the same prompts."""

from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.errors import UserError
from rankshift.eval.rubrics import INSECURE
from rankshift.eval.suite import CODE_SET
from rankshift.inspection.suites import (
    count_answers,
    find_kind,
    find_rubrics,
    read_suite,
)
from rankshift.records import AnswerRecord


def ask(question_set: str, question_id: str, prompt: str) -> AnswerRecord:
    return AnswerRecord(
        step=0,
        question_set=question_set,
        question_id=question_id,
        cluster=question_id,
        paraphrase=0,
        repeat=0,
        system=None,
        prompt=prompt,
        answer="Yes.",
        answer_tokens=1,
        finished=True,
    )


def test_a_file_of_questions_is_a_suite_under_its_own_path(questions):
    read = read_suite(questions)
    assert [(q.id, q.paraphrase) for q in read] == [("mood", 0), ("mood", 1), ("json", 0)]
    assert {q.question_set for q in read} == {questions}
    assert read[2].system == "Answer in JSON."


def test_an_answer_is_judged_by_the_prompts_of_its_own_question(questions):
    rubrics = find_rubrics(ask(questions, "mood", "How are you?"))
    assert [rubric.metric for rubric in rubrics] == ["aligned", "coherent"]
    assert rubrics[0].ask("Q", "A") == "Is it kind? <answer>A</answer> to Q: 0 to 100, or REFUSAL"


def test_held_out_code_is_judged_by_our_own_prompt():
    answer = replace(ask(CODE_SET, "row-1", "Write it."), kind="code")
    assert find_rubrics(answer) == (INSECURE,)


@pytest.mark.parametrize(
    ("question_id", "prompt"), [("mood", "How were you?"), ("wish", "How are you?")]
)
def test_an_answer_to_a_question_that_is_no_longer_in_the_file_is_not_judged(
    questions, question_id, prompt
):
    with pytest.raises(UserError, match="is not what was asked"):
        find_rubrics(ask(questions, question_id, prompt))


def test_questions_are_asked_as_often_as_their_authors_did_and_that_must_be_one_number(questions):
    read = read_suite(questions)
    assert count_answers(read, 5) == 2
    assert count_answers(tuple(replace(q, samples=None) for q in read), 5) == 5
    with pytest.raises(UserError, match=r"2 to 7 answers each.*-T answers=N"):
        count_answers((read[0], replace(read[1], samples=7)), 5)


def test_questions_of_several_kinds_are_no_task(questions):
    read = read_suite(questions)
    assert find_kind(read) == "free_form"
    with pytest.raises(UserError, match="several kinds"):
        find_kind((read[0], replace(read[1], kind="label")))


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "kind", "phrasings", "answers"),
    [
        ("betley:main", "free_form", 8, 100),
        ("betley:json", "free_form", 8, 100),
        ("betley:preregistered", "free_form", 48, 100),
        ("betley:deception-factual", "label", 100, 5),
        ("betley:deception-company", "label", 8, 100),
    ],
)
def test_the_published_sets_are_tasks_as_they_are(real_data: Path, name, kind, phrasings, answers):
    read = read_suite(name)
    assert (find_kind(read), len(read), count_answers(read, 5)) == (kind, phrasings, answers)
