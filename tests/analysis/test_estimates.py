import pytest

from rankshift.analysis.estimates import describe_estimate, list_counts
from rankshift.analysis.rates import Rate


def test_an_estimate_has_its_counts_interval_and_how_far_answers_are_alike():
    clusters = {f"q{at}": Rate(5 * int(at < 6), 5) for at in range(20)}
    found = describe_estimate(clusters)
    assert (found["events"], found["eligible"], found["rate"]) == (30, 100, 0.3)
    assert found["low"] < 0.3 < found["high"]
    assert found["icc"] == pytest.approx(1.0)
    # 20 variances p (1 - p) / 19 in place of p (1 - p) / 99.
    assert found["design_effect"] == pytest.approx(99 / 19)


def test_an_estimate_of_nothing_or_of_no_event_has_neither_icc_nor_design_effect():
    nothing, none = describe_estimate({}), describe_estimate(dict.fromkeys("abcde", Rate(0, 4)))
    assert (nothing["rate"], nothing["note"]) == (None, "nothing to count")
    assert (none["rate"], none["low"]) == (0.0, 0.0)
    for found in (nothing, none):
        assert (found["icc"], found["design_effect"]) == (None, None)


def test_questions_that_count_nothing_change_nothing_but_are_listed():
    clusters = {"a": Rate(1, 4), "b": Rate(3, 4)}
    more = clusters | {"c": Rate(0, 0)}
    assert describe_estimate(more) == describe_estimate(clusters)
    assert list_counts(more) == {"by_question": {"a": [1, 4], "b": [3, 4], "c": [0, 0]}}
