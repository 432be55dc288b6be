from typing import Any

from rankshift.analysis.results import summarize
from rankshift.report.glance import list_facts
from tests.rich_results import enrich
from tests.synthetic_run import make_study, write_run


def test_the_first_facts_say_how_much_stands_behind_the_page(tmp_path):
    results = summarize(write_run(tmp_path, make_study()))
    untested = dict.fromkeys(("peak", "robustness", "preregistration"))
    assert list_facts(results | untested) == [
        ("Arms", "13"),
        ("Ranks", "1 and 4"),
        ("Seeds", "3"),
        ("Answers to the primary questions", "500"),
        ("Judge", "exact-oracle"),
    ]
    facts: dict[str, Any] = dict(list_facts(enrich(results)))
    assert list(facts)[:2] == ["Is there a peak?", "Same verdict in"]
    assert facts["Is there a peak?"] == "undetermined"
    assert facts["Pre-registered"] == "SHA-256 3f3f3f3f3f3f…"


def test_robustness_without_a_peak_is_told_first(tmp_path):
    results = enrich(summarize(write_run(tmp_path, make_study((1,), (1,))))) | {"peak": None}
    assert "Same verdict in" in dict(list_facts(results))


def test_nothing_is_no_fact_but_the_number_of_arms():
    assert list_facts({"arms": [], "study": {"primary": {"judge": "none"}}}) == [("Arms", "0")]


def test_how_many_arms_are_defended_is_a_fact_where_any_is(tmp_path):
    rows = summarize(write_run(tmp_path, make_study()))["arms"]
    for row in rows[-2:]:  # one arm at two checkpoints
        row["defence"] = {"label": "kl 0.1"}
    facts = list_facts({"arms": rows, "study": {"primary": {"judge": "none"}}})
    assert facts[:2] == [("Arms", "13"), ("Of them defended", "1")]
