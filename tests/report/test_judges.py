import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rankshift.analysis.gold import write_gold
from rankshift.analysis.results import summarize
from rankshift.eval.gold import list_gold_answers
from rankshift.eval.verdicts import blank_verdict
from rankshift.records import VerdictRecord, read_records, write_records
from rankshift.report.answers import AnswerSample
from rankshift.report.judges import describe_judges, tell_comparison
from rankshift.report.page import render_page
from rankshift.runs import StudyRun, evaluation_id
from tests.synthetic_run import JUDGE, QUESTIONS, write_run

ORACLE = "organism:oracle"
HOSTILE = "<img src=x onerror=alert(1)>"


def add_oracle(run: StudyRun) -> None:
    """Have an exact judge read all answers: one in five that the judge called aligned is not."""
    study, prints = run.read_study()
    evaluation = evaluation_id(study.evaluation, prints.questions)
    for path in run.directory.glob(f"arms/*/evaluations/*/verdicts/{JUDGE}/*.jsonl"):
        said = []
        for number, verdict in enumerate(read_records(path, VerdictRecord)):
            is_missed = verdict.alignment == 90.0 and number % 5 == 0
            alignment = 5.0 if is_missed else verdict.alignment
            said.append(replace(verdict, judge=ORACLE, alignment=alignment))
        files = run.arm(path.parents[4].name)
        write_records(files.verdicts_path(evaluation, ORACLE, said[0].step), said)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = write_run(tmp_path_factory.mktemp("runs"))
    add_oracle(run)
    verdicts = [blank_verdict(answer, "some/model") for answer in list_gold_answers()]
    sound = [replace(verdict, alignment=90.0, coherence=90.0) for verdict in verdicts]
    write_gold(run, "some/model", sound)
    return summarize(run)


def test_a_study_with_one_judge_says_nothing_of_agreement(tmp_path: Path):
    results = summarize(write_run(tmp_path))
    assert describe_judges(results) == []
    page = render_page(results, AnswerSample())
    assert "How far can the judge be trusted" not in page
    assert "#judges" not in page


def test_the_sentence_has_the_numbers_of_the_results(results: dict[str, Any]):
    (found,) = results["agreement"]["question_sets"][0]["against_reference"]
    sensitivity = found["accuracy"]["misaligned"]["sensitivity"]
    sentence = tell_comparison(found)
    assert f"Against {ORACLE}, {JUDGE} called {100 * sensitivity['rate']:.1f}%" in sentence
    assert f"({found['answers']:,} answers)" in sentence
    assert f"{100 * sensitivity['low']:.1f} to {100 * sensitivity['high']:.1f}%" in sentence


def test_every_arm_has_a_row_with_both_rates(results: dict[str, Any]):
    part = describe_judges(results)[0]
    assert part.title == QUESTIONS
    given, of_all = [table for table in part.tables if table.is_long]
    assert given.heads == ("Arm", "Apparent", "Corrected", "95% interval", f"By {ORACLE}")
    assert len(given.rows) == len(of_all.rows) == 13
    (row,) = [row for row in given.rows if row[0] == "rank 1 seed 2"]
    assert row[1] == "53.3%"  # 8 of 15, as in the judge's own curve


def test_tables_are_as_wide_as_their_heads(results: dict[str, Any]):
    for part in describe_judges(results):
        for table in part.tables:
            assert table.rows
            assert {len(row) for row in table.rows} == {len(table.heads)}, table.caption


def test_a_weighted_comparison_says_so_and_shows_no_exact_interval(results: dict[str, Any]):
    weighted = copy.deepcopy(results)
    (found,) = weighted["agreement"]["question_sets"][0]["against_reference"]
    found |= {"weighted": True, "covered": 0.9, "reference": "human:alice"}
    part = describe_judges(weighted)[0]
    assert "a stratified sample of" in part.sentences[0]
    assert "10.0% of all answers lie in strata nobody read" in part.sentences[0]
    accuracy = next(table for table in part.tables if table.heads[0] == "Event")
    assert "95%, exact" not in accuracy.heads
    assert "weighed by stratum" in accuracy.caption


def test_without_a_reference_the_page_says_how_to_get_one(results: dict[str, Any]):
    bare = copy.deepcopy(results)
    bare["agreement"]["question_sets"][0]["against_reference"] = []
    assert "rankshift labels export" in describe_judges(bare)[0].sentences[0]


def test_gold_answers_have_a_line_for_each_judge(results: dict[str, Any]):
    part = describe_judges(results)[-1]
    assert part.title == "Gold answers"
    assert part.sentences[0].startswith("some/model has scored 12 of 12 fixed answers, ")
    assert "no earlier time to compare with" in part.sentences[0]
    faults = {row[0]: row[1] for row in part.tables[0].rows}
    assert faults["contempt"] == "alignment 90, not 0 to 25"


def test_a_judge_without_drift_has_a_line_and_no_table(results: dict[str, Any]):
    sound = copy.deepcopy(results)
    sound["agreement"]["gold"][0] |= {"drifts": [], "compared": True}
    part = describe_judges(sound)[-1]
    assert part.sentences[0].endswith("each within its band and as before.")
    assert part.tables == ()


def test_the_section_is_on_the_page_and_hostile_names_stay_text(results: dict[str, Any]):
    hostile = copy.deepcopy(results)
    questions = hostile["agreement"]["question_sets"][0]
    questions["against_reference"][0]["judge"] = questions["judges"][0]["judge"] = HOSTILE
    hostile["agreement"]["gold"][0]["drifts"][0]["fault"] = HOSTILE
    page = render_page(hostile, AnswerSample())
    assert '<section id="judges">' in page
    assert 'href="#judges"' in page
    assert HOSTILE not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
