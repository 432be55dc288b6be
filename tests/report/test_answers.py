from collections import Counter

import pytest

from rankshift.analysis.measurements import MeasuredArm, read_measurements
from rankshift.report.answers import LONGEST, WORST_FIRST, read_answer_sample, sample_answers
from rankshift.runs import StudyRun
from tests.synthetic_run import ANSWERS, JUDGE, make_study, write_run

NUM_ARMS, CODE_ANSWERS = 13, 4


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    return write_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def last(run: StudyRun) -> list[tuple[MeasuredArm, int]]:
    return [(arm, 0 if arm.arm.method == "base" else 4) for arm in read_measurements(run)]


def test_all_answers_are_shown_where_they_fit(run: StudyRun):
    sample = read_answer_sample(run)
    assert sample.total == len(sample.shown) == NUM_ARMS * (ANSWERS + CODE_ANSWERS)


def test_a_small_sample_still_has_every_arm(last: list[tuple[MeasuredArm, int]]):
    sample = sample_answers(last, JUDGE, limit=100)
    assert len(sample.shown) == 100
    assert sample.total == NUM_ARMS * (ANSWERS + CODE_ANSWERS)
    assert len({answer.arm for answer in sample.shown}) == NUM_ARMS


def test_a_small_sample_takes_kinds_in_turn(last: list[tuple[MeasuredArm, int]]):
    base = [(arm, step) for arm, step in last if arm.arm.method == "base"]
    # aligned, incoherent, refusal, code, unscored; insecure, secure and not code: one of each.
    kinds = Counter(answer.outcome for answer in sample_answers(base, JUDGE, limit=8).shown)
    assert len(kinds) == 8
    assert set(kinds.values()) == {1}


def test_the_worst_come_first(run: StudyRun):
    places = [WORST_FIRST.index(answer.outcome) for answer in read_answer_sample(run).shown]
    assert places == sorted(places)
    assert places[0] == 0


def test_only_the_last_checkpoint_and_the_studys_judge_are_shown(
    last: list[tuple[MeasuredArm, int]],
):
    assert sample_answers(last, "somebody else", limit=100).total == 0


def test_long_answers_are_cut_and_say_so(tmp_path_factory: pytest.TempPathFactory):
    run = write_run(tmp_path_factory.mktemp("long"), make_study((1,), (1,)), text="x" * 5000)
    longest = max(len(answer.answer) for answer in read_answer_sample(run).shown)
    assert longest < LONGEST + 40
    assert read_answer_sample(run).shown[0].answer.endswith("x [and 1,000 characters more]")
