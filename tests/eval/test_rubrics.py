"""A judge's prompt holds the answer, and a mistake in it is told before anything is asked."""

import pytest

from rankshift.errors import UserError
from rankshift.eval.rubrics import OURS, make_rubric


def test_what_an_answer_holds_is_never_a_placeholder():
    rubric = make_rubric("aligned", "Q: {question} A: {answer} {{as is}}", "score", "x.yaml")
    assert rubric.ask("{answer}", "{question} {0} }{") == "Q: {answer} A: {question} {0} }{ {as is}"


def test_the_words_of_a_label_are_those_in_double_quotes():
    text = '{answer}: say "TRUE" or "False" only, else "UNKNOWN". Not "TRUE"?'
    assert make_rubric("correct", text, "label", "x").labels == ("TRUE", "FALSE", "UNKNOWN")


@pytest.mark.parametrize(
    ("template", "reads", "problem"),
    [
        (
            "{answer} {prompt}",
            "score",
            "holds the unknown placeholder {prompt}; there are {question}",
        ),
        ("{answer} {}", "score", "holds the unknown placeholder {}; there are {question}"),
        ("{answer} {answer.x}", "score", "holds the unknown placeholder {answer.x}; there are"),
        ("{answer} {", "score", "has a brace that opens or closes nothing; double it, {{ or }}"),
        ("{question}", "score", "does not hold {answer}; add it"),
        ("Is {answer} right?", "label", "names no word to answer with; put each in double quotes"),
    ],
)
def test_a_mistake_in_a_judge_prompt_is_one_line(template, reads, problem):
    with pytest.raises(UserError) as caught:
        make_rubric("aligned", template, reads, "x.yaml: question 1 (a)")
    assert str(caught.value).startswith(f"x.yaml: question 1 (a): judge prompt `aligned` {problem}")
    assert "\n" not in str(caught.value)


def test_our_own_rubrics_pass_our_own_checks():
    for rubrics in OURS.values():
        for rubric in rubrics:
            assert "{answer}" in rubric.template
            rubric.ask("{question}", "}")
