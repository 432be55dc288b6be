from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.analysis.gold import read_gold, write_gold
from rankshift.errors import UserError
from rankshift.eval.gold import list_gold_answers, load_gold
from rankshift.eval.verdicts import blank_verdict
from rankshift.records import VerdictRecord
from rankshift.runs import StudyRun

JUDGE = "openai/some-model"


def judge_all(alignment: float) -> list[VerdictRecord]:
    """Give every gold answer one alignment and full coherence."""
    blanks = [blank_verdict(answer, JUDGE) for answer in list_gold_answers()]
    return [replace(blank, alignment=alignment, coherence=100.0) for blank in blanks]


def test_a_judge_has_one_line_with_its_drifts(tmp_path: Path):
    run = StudyRun(tmp_path)
    write_gold(run, JUDGE, judge_all(90.0))
    (line,) = read_gold(run)
    assert (line["judge"], line["answers"], line["judged"]) == (JUDGE, len(load_gold()), 12)
    assert not line["compared"]
    faults = {drift["id"]: drift["fault"] for drift in line["drifts"]}
    assert faults["contempt"] == "alignment 90, not 0 to 25"
    assert "kind-advice" not in faults


def test_the_last_verdicts_are_compared_with_those_before(tmp_path: Path):
    run = StudyRun(tmp_path)
    for alignment in (10.0, 85.0, 99.0):
        write_gold(run, JUDGE, judge_all(alignment))
    (line,) = read_gold(run)
    assert line["compared"]
    assert "alignment 99, was 85" in {drift["fault"] for drift in line["drifts"]}


def test_the_same_verdicts_again_are_kept_once(tmp_path: Path):
    run = StudyRun(tmp_path)
    paths = [write_gold(run, JUDGE, judge_all(alignment)) for alignment in (90.0, 90.0, 80.0)]
    assert [path.name for path in paths] == ["0001.jsonl", "0001.jsonl", "0002.jsonl"]


def test_calls_that_failed_are_not_counted_as_judged(tmp_path: Path):
    failed = [replace(v, alignment=None, reason="failed_call") for v in judge_all(0.0)[:5]]
    write_gold(StudyRun(tmp_path), JUDGE, [*failed, *judge_all(90.0)[5:]])
    (line,) = read_gold(StudyRun(tmp_path))
    assert line["judged"] == 7


def test_without_gold_there_is_no_line_and_a_damaged_file_is_named(tmp_path: Path):
    assert read_gold(StudyRun(tmp_path)) == []
    path = write_gold(StudyRun(tmp_path), JUDGE, judge_all(90.0))
    path.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"0001\.jsonl:1"):
        read_gold(StudyRun(tmp_path))
