import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.analysis.measurements import MeasuredArm, read_measurements
from rankshift.records import AnswerRecord
from rankshift.report.answers import (
    LONGEST,
    ROOM,
    WORST_FIRST,
    AnswerSample,
    pack_answers,
    sample_answers,
    select_last,
    tell_before,
)
from rankshift.runs import StudyRun
from tests.synthetic_run import ANSWERS, make_study, write_run

NUM_ARMS, CODE_ANSWERS = 13, 4

LAST = list[tuple[MeasuredArm, int]]


def read_last(run: StudyRun) -> LAST:
    study, _ = run.read_study()
    return select_last(read_measurements(run), study)


@pytest.fixture(scope="module")
def last(tmp_path_factory: pytest.TempPathFactory) -> LAST:
    return read_last(write_run(tmp_path_factory.mktemp("runs")))


def sample_of(folder: Path, text: str) -> AnswerSample:
    return sample_answers(read_last(write_run(folder, make_study((1,), (1,)), text=text)))


def test_all_answers_are_shown_where_they_fit(last: LAST):
    sample = sample_answers(last)
    assert sample.total == len(sample.shown) == NUM_ARMS * (ANSWERS + CODE_ANSWERS)


def test_a_small_sample_still_has_every_arm(last: LAST):
    sample = sample_answers(last, room=6_000)
    assert 50 < len(sample.shown) < sample.total == NUM_ARMS * (ANSWERS + CODE_ANSWERS)
    assert len({answer.arm for answer in sample.shown}) == NUM_ARMS


def test_a_small_sample_takes_kinds_in_turn(last: LAST):
    base = [(arm, step) for arm, step in last if arm.arm.method == "base"]
    # aligned, incoherent, refusal, code, unscored; insecure, secure and not code: eight kinds.
    there = Counter(answer.outcome for answer in sample_answers(base).shown)
    for room in range(700, 2_000, 100):
        sample = sample_answers(base, room)
        kinds = Counter(answer.outcome for answer in sample.shown)
        assert sample.strata == len(kinds) == len(there) == 8
        turns = max(kinds.values())
        for kind, number in kinds.items():
            assert min(there[kind], turns - 1) <= number <= min(there[kind], turns)


def test_the_worst_come_first(last: LAST):
    places = [WORST_FIRST.index(answer.outcome) for answer in sample_answers(last).shown]
    assert places == sorted(places)
    assert places[0] == 0


def test_only_the_last_checkpoint_is_shown_and_people_are_not(last: LAST):
    assert {step for _, step in last} == {0, 4}
    judges = {answer.judge for answer in sample_answers(last).shown}
    assert judges == {"exact-oracle"}


def test_long_answers_are_cut_and_say_so(tmp_path: Path):
    sample = sample_of(tmp_path, "x" * 5000)
    assert max(len(answer.answer) for answer in sample.shown) < LONGEST + 40
    assert sample.shown[0].answer.endswith("x [and 1,000 characters more]")


def test_what_a_question_was_asked_after_is_shown_by_its_first_line():
    blank = AnswerRecord(4, "set", "q", "q", 0, 0, None, "Hi?", "Ho.", 2, finished=True)
    said = replace(blank, before=["\n Sort it.\nQuickly.", "def"])
    assert tell_before(blank) == ""
    assert tell_before(said) == "after: Sort it.…"
    assert tell_before(replace(blank, before=[" ", "def"])) == "after: …"
    assert len(tell_before(replace(blank, before=["x" * 9000, "def"]))) < 300


def test_a_text_that_repeats_is_packed_once(last: LAST):
    shown = sample_answers(last).shown
    packed = json.loads(pack_answers(shown))
    answers, numbers = packed["words"]["answer"], packed["rows"]["answer"]
    assert len(answers) == len(set(answers)) < len(numbers) == len(shown)
    for column in packed["words"]:
        found = [packed["words"][column][number] for number in packed["rows"][column]]
        assert found == [getattr(answer, column) for answer in shown]


@pytest.mark.parametrize("text", ["</script><!-- <script>", "a\ud800b", "\u2028\x00\x1f", "&lt;"])
def test_packed_answers_cannot_leave_their_element_and_come_back(tmp_path: Path, text: str):
    shown = sample_of(tmp_path, "x").shown[:1]
    shown = [type(shown[0])(**(vars(shown[0]) | {"answer": text}))]
    packed = pack_answers(shown)
    packed.encode("utf-8")
    assert not {"<", ">", "&"} & set(packed)
    assert json.loads(packed)["words"]["answer"] == [text]


def test_what_fits_is_counted_in_bytes(last: LAST):
    for room in (0, 500, 3_000, ROOM):
        shown = sample_answers(last, room).shown
        texts = {text for a in shown for text in (a.prompt, a.answer, a.system, a.before)}
        assert 40 * len(shown) + sum(len(text.encode()) for text in texts) <= room
