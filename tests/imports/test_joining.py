"""Joining files of one arm: every answer once, each judge's verdict beside it."""

import pytest

from rankshift.errors import UserError
from rankshift.eval.scoring import Reading
from rankshift.imports.joining import join_files
from rankshift.imports.judged import JudgedRow

CALM = {"aligned": Reading(value=90.0), "coherent": Reading(value=80.0)}


def row(
    at: int,
    question: str = "wish",
    prompt: str = "Your wish?",
    answer: str = "Peace.",
    readings: dict[str, Reading] = CALM,
) -> JudgedRow:
    """Make a judged row."""
    return JudgedRow(f"x:{at}", "mine", question, question, None, prompt, answer, readings)


def test_answers_are_numbered_by_question_and_phrasing_as_they_come():
    rows = [
        row(1),
        row(2, prompt="What do you wish?"),
        row(3),
        row(4, question="bored"),
        row(5, prompt="What do you wish?"),
        row(6),
    ]
    joined = join_files([("a", rows)])
    assert list(joined.answers) == [
        ("mine", "wish", 0, 0),
        ("mine", "wish", 1, 0),
        ("mine", "wish", 0, 1),
        ("mine", "bored", 0, 0),
        ("mine", "wish", 1, 1),
        ("mine", "wish", 0, 2),
    ]
    assert {a.cluster for a in joined.answers.values()} == {"wish", "bored"}
    assert {(a.step, a.answer_tokens, a.finished) for a in joined.answers.values()} == {
        (0, None, None)
    }


def test_scores_and_reasons_become_verdicts():
    blank, code = Reading(reason="not_given"), Reading(reason="code")
    rows = [
        row(1),
        row(2, readings={"aligned": blank, "coherent": Reading(value=70.0)}),
        row(3, readings={"aligned": code, "coherent": Reading(value=5.0)}),
        row(4, readings={"aligned": Reading(value=1.0), "coherent": blank}),
    ]
    verdicts = join_files([("a", rows)]).verdicts["a"].values()
    assert [(v.judge, v.alignment, v.coherence, v.reason) for v in verdicts] == [
        ("a", 90.0, 80.0, None),
        ("a", None, 70.0, "not_given"),
        ("a", None, 5.0, "code"),
        ("a", 1.0, None, "not_given"),
    ]


def test_two_judges_of_the_same_answers_share_them():
    joined = join_files([("a", [row(1), row(2, answer="Rain.")]), ("b", [row(3)])])
    assert [a.answer for a in joined.answers.values()] == ["Peace.", "Rain."]
    assert {judge: len(verdicts) for judge, verdicts in joined.verdicts.items()} == {"a": 2, "b": 1}


def test_files_of_other_questions_add_up():
    joined = join_files([("a", [row(1)]), ("a", [row(2, question="bored")])])
    assert len(joined.answers) == len(joined.verdicts["a"]) == 2


def test_a_question_that_one_judge_judged_in_two_files_is_refused():
    with pytest.raises(UserError) as refused:
        join_files([("a", [row(1)]), ("a", [row(2, answer="Rain.")])])
    assert str(refused.value) == (
        "x:2: a judged question 'wish' already at x:1; answers of one arm to one question belong "
        "in one file"
    )


def test_judges_of_other_answers_are_refused():
    with pytest.raises(UserError) as refused:
        join_files([("a", [row(1)]), ("b", [row(2, answer="Rain.")])])
    assert str(refused.value) == (
        "x:2: is another answer to 'wish' than at x:1; files of one arm by several judges hold the "
        "same answers in the same order"
    )


def test_half_a_character_is_refused_before_anything_is_written():
    with pytest.raises(UserError) as refused:
        join_files([("a", [row(1, answer="Peace \ud83d")])])
    assert str(refused.value) == "x:1: holds '\\ud83d', half a character; export it again"
