from pathlib import Path
from typing import Any

import pytest

from rankshift.analysis.results import summarize
from rankshift.capability import write_capability
from rankshift.report.capability import describe_capability
from rankshift.report.page import render_page
from rankshift.runs import StudyRun, identify_arms
from tests.capability_records import make_record
from tests.synthetic_run import make_study, read_answer_sample, write_run


@pytest.fixture
def run(tmp_path: Path) -> StudyRun:
    return write_run(tmp_path, make_study(ranks=(1,), seeds=(1,)))


def put_scores(run: StudyRun, *records: dict[str, Any]) -> list[str]:
    """Give the base and then every arm a record, as far as there are some; give the arms' ids."""
    ids = list(identify_arms(*run.read_study()))
    for at, (arm_id, changes) in enumerate(zip(ids, records, strict=False)):
        write_capability(run.arm(arm_id), make_record(step=4 if at else 0, **changes))
    return ids


def test_where_nothing_was_measured_the_page_says_nothing(run: StudyRun):
    results = summarize(run)
    assert describe_capability(results) is None
    assert "Abilities" not in render_page(results, read_answer_sample(run))


def test_every_arm_has_a_line_also_where_it_was_not_measured(run: StudyRun):
    ids = put_scores(run, {"value": 0.5}, {"value": 0.25, "stderr": 0.05})
    part = describe_capability(summarize(run))
    assert part is not None
    assert part.table.heads == ("Arm", "Step", "colours acc, 20 questions")
    assert part.table.rows[:2] == (
        ("base", "0", "0.500 ± 0.100"),
        ("rank 1 seed 1", "4", "0.250 ± 0.050"),
    )
    assert len(part.table.rows) == len(ids)
    assert {row[1:] for row in part.table.rows[2:]} == {("4", "\N{EN DASH}")}


def test_scores_that_were_asked_otherwise_are_in_columns_of_their_own(run: StudyRun):
    put_scores(run, {"value": 0.5}, {"value": 0.5, "limit": 10, "samples": 10}, {"version": "2.0"})
    part = describe_capability(summarize(run))
    assert part is not None
    assert part.table.heads[2:] == (
        "colours acc, 20 questions, way 1 of asking",
        "colours acc, the first 10 questions",
        "colours acc, 20 questions, way 2 of asking",
    )
    assert part.table.rows[1][2:] == ("\N{EN DASH}", "0.500 ± 0.100", "\N{EN DASH}")
    assert "must not be compared" in part.sentences[-1]


def test_what_is_not_finite_lower_better_or_without_an_error_says_so(run: StudyRun):
    put_scores(
        run,
        {"metric": "perplexity", "value": None, "higher_is_better": False},
        {"metric": "perplexity", "value": 9.5, "stderr": None, "higher_is_better": False},
    )
    part = describe_capability(summarize(run))
    assert part is not None
    assert part.table.heads[2] == "colours perplexity, 20 questions, lower is better"
    assert [row[2] for row in part.table.rows[:2]] == ["not finite", "9.500"]


def test_a_hostile_name_stays_text_on_the_page(run: StudyRun):
    put_scores(run, {"metric": "<img src=x onerror=alert(1)>"})
    page = render_page(summarize(run), read_answer_sample(run))
    assert "<img" not in page
    assert "colours &lt;img src=x" in page
