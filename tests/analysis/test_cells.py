from typing import Any

import numpy as np
import pytest

from rankshift.analysis.cells import describe_share, tabulate_questions
from rankshift.analysis.crossed import bound_new_questions
from rankshift.analysis.estimates import describe_estimate, list_counts
from rankshift.analysis.rates import Rate

EVENTS = [[0, 3, 1, 6, 2], [1, 4, 0, 8, 2], [0, 2, 2, 9, 5]]


def share(events: list[int], sizes: list[int]) -> dict[str, Any]:
    clusters = {f"q{at}": Rate(*both) for at, both in enumerate(zip(events, sizes, strict=True))}
    return describe_estimate(clusters) | list_counts(clusters)


def rows(number: int, method: str = "lora") -> list[dict[str, Any]]:
    return [{"arm": f"a{at}", "seed": at, "method": method} for at in range(number)]


def test_a_cell_has_both_targets_about_one_rate():
    cell = describe_share(rows(3), [share(events, [10] * 5) for events in EVENTS])
    new = cell["new_questions"]
    assert cell["rate"] == new["rate"] == pytest.approx(45 / 150)
    assert new["low"] < cell["low"] < 0.3 < cell["high"] < new["high"]
    crossed, low, high = bound_new_questions(np.array(EVENTS), np.full((3, 5), 10))
    assert (new["low"], new["high"]) == (pytest.approx(low), pytest.approx(high))
    assert new["variance"]["question"] == pytest.approx(crossed.question)
    assert cell["design_effect"] == pytest.approx(crossed.design_effect)
    assert 0.2 < cell["icc"] < 0.6


def test_macro_counts_each_question_once_and_pooled_each_answer():
    cell = describe_share(rows(2), [share([9, 0], [10, 2]), share([3, 1], [4, 0 + 1])])
    assert cell["macro"] == pytest.approx(((0.9 + 0.75) / 2 + (0.0 + 1.0) / 2) / 2)
    assert cell["pooled"] == pytest.approx(13 / 17)
    assert cell["rate"] == pytest.approx((9 / 12 + 4 / 5) / 2)


def test_a_question_that_one_seed_lacks_is_averaged_over_the_others():
    cell = describe_share(rows(2), [share([2, 0], [4, 0]), share([1, 3], [4, 4])])
    assert cell["macro"] == pytest.approx(((0.5 + 0.25) / 2 + 0.75) / 2)


@pytest.mark.parametrize(
    ("seeds", "questions", "note"),
    [(2, 5, "too few seeds"), (3, 4, "too few clusters"), (3, 0, "nothing to count")],
)
def test_too_few_of_either_give_a_note_instead_of_an_interval(
    seeds: int, questions: int, note: str
):
    counts = [share(events[:questions], [10] * questions) for events in EVENTS[:seeds]]
    new = describe_share(rows(seeds), counts)["new_questions"]
    assert (new["low"], new["high"], new["degrees"], new["note"]) == (None, None, None, note)
    assert new["variance"] == {"seed": None, "question": None, "interaction": None}


def test_one_model_has_its_interval_over_questions_for_both():
    base = share(EVENTS[0], [10] * 5)
    cell = describe_share(rows(1, "base"), [base])
    new = cell["new_questions"]
    assert (new["low"], new["high"]) == (cell["low"], cell["high"]) == (base["low"], base["high"])
    assert new["note"] == cell["note"] == "one model: the interval is over questions"
    assert (cell["design_effect"], cell["icc"]) == (base["design_effect"], base["icc"])
    assert cell["num_seeds"] == 0


def test_a_table_of_counts_leaves_out_what_counts_nothing():
    shares = [share([1, 0, 2], [4, 0, 4]), share([0, 0, 0], [0, 0, 0]), share([3, 0, 0], [4, 0, 0])]
    events, sizes = tabulate_questions(shares)
    assert events.tolist() == [[1, 2], [3, 0]]
    assert sizes.tolist() == [[4, 4], [4, 0]]


def test_an_arm_without_these_questions_is_left_out():
    cell = describe_share(rows(2), [None, share(EVENTS[0], [10] * 5)])
    assert [seed["arm"] for seed in cell["seeds"]] == ["a1"]
    assert cell["pooled"] == pytest.approx(12 / 50)
