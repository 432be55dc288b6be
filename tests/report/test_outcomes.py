import xml.etree.ElementTree as ElementTree

from rankshift.report.outcomes import STACK, draw_outcomes

OUTCOMES = dict.fromkeys(STACK, 1) | {"answers": 6}


def read_titles(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [e.text or "" for e in root.iter("{http://www.w3.org/2000/svg}title")]


def test_every_outcome_of_every_arm_is_a_bar_with_its_count():
    figure = draw_outcomes([("Trained on bad", [{"name": "rank 4 seed 1", "outcomes": OUTCOMES}])])
    assert figure is not None
    expected = [f"rank 4 seed 1: 1 of 6 answers {outcome}" for outcome in STACK]
    assert sorted(read_titles(figure.wide)) == sorted(expected)


def test_the_outcome_in_question_comes_first_so_that_bars_share_a_start():
    assert STACK[0] == "misaligned"


def test_arms_that_answered_nothing_have_no_bar():
    nothing = dict.fromkeys(STACK, 0) | {"answers": 0}
    assert draw_outcomes([("Trained", [{"name": "a", "outcomes": nothing}])]) is None
