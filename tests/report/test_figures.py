import xml.etree.ElementTree as ElementTree
from typing import Any

from rankshift.report.figures import STACK, draw_outcomes, draw_over_steps, spread

OUTCOMES = dict.fromkeys(STACK, 1) | {"answers": 6}


def read_titles(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [e.text or "" for e in root.iter("{http://www.w3.org/2000/svg}title")]


def measure(step: int, loss: float) -> dict[str, Any]:
    return {"step": step, "loss": loss}


def test_every_line_starts_at_the_base():
    curve = {
        "points": [{"rank": 4, "steps": [measure(8, 1.2)]}],
        "categories": [
            {"category": "base", "learning_rate": None, "steps": [measure(0, 2.0)]},
            {"category": "full", "learning_rate": 1e-4, "steps": [measure(8, 1.1)]},
        ],
    }
    figure = draw_over_steps(curve)
    assert figure is not None
    assert sorted(read_titles(figure.wide)) == [
        *("full at step 0: 2.000", "full at step 8: 1.100"),
        *("rank 4 at step 0: 2.000", "rank 4 at step 8: 1.200"),
    ]


def test_no_trained_arm_is_no_chart():
    assert draw_over_steps({"points": [], "categories": []}) is None


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


def test_places_are_spread_over_the_whole_ramp():
    assert spread(3) == [0.0, 0.5, 1.0]
    assert spread(1) == [0.0]
