import json
from dataclasses import replace
from pathlib import Path

import jsonschema

from rankshift.analysis.capability import list_scores
from rankshift.analysis.results import summarize
from rankshift.capability import write_capability
from rankshift.runs import identify_arms
from tests.capability_records import SCORE, make_record
from tests.synthetic_run import write_run

SCHEMA = Path(__file__).parents[2] / "docs" / "results.schema.json"


def test_every_score_of_a_record_is_listed_with_what_it_was_asked_as():
    record = make_record(limit=10)
    both = replace(record, asked="both", scores=(SCORE, replace(SCORE, task="shades")))
    rows = list_scores([record, both])
    assert [(row["asked"], row["task"]) for row in rows] == [
        ("colours", "colours"),
        ("both", "colours"),
        ("both", "shades"),
    ]
    assert rows[0]["conditions"]["limit"] == 10
    assert json.loads(json.dumps(rows)) == rows


def test_scores_are_in_the_row_of_their_arm_and_step_and_fit_the_schema(tmp_path: Path):
    run = write_run(tmp_path)
    base, first, *_ = identify_arms(*run.read_study())
    write_capability(run.arm(base), make_record(step=0, value=0.5))
    write_capability(run.arm(first), make_record(step=4, value=None, stderr=None, samples=None))
    results = summarize(run)
    jsonschema.validate(json.loads(json.dumps(results)), json.loads(SCHEMA.read_text()))
    found = {(row["arm"], row["step"]): row["capability"] for row in results["arms"]}
    assert {key for key, scores in found.items() if scores} == {(base, 0), (first, 4)}
    assert found[base, 0][0]["value"] == 0.5
    assert found[first, 4][0]["value"] is None


def test_a_step_at_which_nothing_else_was_measured_has_a_row_too(tmp_path: Path):
    run = write_run(tmp_path)
    first = list(identify_arms(*run.read_study()))[1]
    write_capability(run.arm(first), make_record(step=3))
    rows = [row for row in summarize(run)["arms"] if row["arm"] == first]
    assert [row["step"] for row in rows if row["capability"]] == [3]
