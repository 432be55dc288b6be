"""A study is killed and fought over in earnest, and what counts the losses is able to fail."""

import json
import shutil
from dataclasses import replace

import pytest

from rankshift.records import StepRecord, write_records
from rankshift.runs import StudyRun
from torture.comparing import Difference, compare_runs
from torture.disk_full import Filled
from torture.isolation import Isolated
from torture.kills import Toll, torture_with_kills
from torture.small_study import open_bench
from torture.two_writers import Contest, torture_with_two_writers


def test_of_two_writers_one_is_refused_every_time_and_no_reader_sees_a_torn_record(tmp_path):
    found = torture_with_two_writers(tmp_path, 1000)
    assert (found.tries, found.let_in, found.torn) == (1000, 0, 0)
    assert found.is_clean


@pytest.mark.torture
def test_two_kills_at_random_moments_leave_no_trace(tmp_path):
    with open_bench(tmp_path) as bench:
        toll = torture_with_kills(bench, 2, seed=1)
    assert str(toll) == "kills 2 identical 2 lost 0 doubled 0"


@pytest.fixture
def runs(tmp_path):
    """Make two directories of one run, small enough to be written by hand."""
    whole = StudyRun(tmp_path / "whole")
    registered = {"written": "now", "sha256": "1", "commit": "c", "dirty": True, "margin": 0.1}
    whole.directory.mkdir()
    provenance = {"shared": {"git": {"dirty": True}, "python": "3"}, "varying": {}}
    results = {"timings": {"a": 1}, "preregistration": registered, "provenance": provenance}
    whole.results_path.write_text(json.dumps(results | {"arms": [1]}))
    write_records(whole.arm("a").steps_path, [StepRecord(1, 1.0, 9, 1.0, 1e-3)])
    answers = whole.arm("a").answers_path("e", 4)
    answers.parent.mkdir(parents=True)
    place = {"question_set": "s", "question_id": "q", "paraphrase": 0}
    answers.write_text("".join(json.dumps(place | {"repeat": n}) + "\n" for n in range(3)))
    shutil.copytree(whole.directory, tmp_path / "other")
    return whole, StudyRun(tmp_path / "other")


def test_runs_that_differ_in_times_alone_are_identical(runs):
    whole, other = runs
    text = other.results_path.read_text()
    text = text.replace('"a": 1', '"a": 2').replace("now", "then").replace("true", "false")
    other.results_path.write_text(text)
    assert compare_runs(whole, other) == Difference(True, 0, 0)


@pytest.mark.parametrize(("was", "now"), [("[1]", "[2]"), ("0.1", "0.2"), ('"3"', '"4"')])
def test_other_results_are_not_identical(runs, was, now):
    whole, other = runs
    other.results_path.write_text(other.results_path.read_text().replace(was, now))
    assert compare_runs(whole, other) == Difference(False, 0, 0)


def test_another_step_is_not_identical(runs):
    whole, other = runs
    write_records(other.arm("a").steps_path, [StepRecord(1, 1.5, 9, 1.0, 1e-3)])
    assert compare_runs(whole, other) == Difference(False, 0, 0)


def test_an_answer_that_is_lost_or_doubled_is_counted(runs):
    whole, other = runs
    path = other.arm("a").answers_path("e", 4)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], lines[0], lines[1]]))
    assert compare_runs(whole, other) == Difference(False, lost=1, doubled=1)


def test_the_last_line_is_that_of_all_kills_and_a_single_loss_is_not_clean():
    toll = Toll(50, 50, 0, 0)
    assert str(toll) == "kills 50 identical 50 lost 0 doubled 0"
    assert toll.is_clean
    for loss in ({"identical": 49}, {"lost": 1}, {"doubled": 1}):
        assert not replace(toll, **loss).is_clean


def test_what_was_not_told_let_in_or_moved_is_not_clean():
    assert Filled(10, 10, True).is_clean
    assert not Filled(10, 9, True).is_clean
    assert not Filled(10, 10, False).is_clean
    assert Contest(9, 0, 9, 0).is_clean
    assert not Contest(9, 1, 9, 0).is_clean
    assert not Contest(9, 0, 9, 1).is_clean
    assert not Contest(9, 0, 8, 0).is_clean  # nobody looked
    assert Isolated(1, 4, 4).is_clean
    assert not Isolated(1, 4, 3).is_clean
    assert not Isolated(0, 4, 4).is_clean
