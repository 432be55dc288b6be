"""Rows on disk: what was written comes back, what was torn is not taken for a result."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankshift.errors import UserError
from rankshift.records import (
    AnswerRecord,
    StepRecord,
    parse_record,
    read_if_there,
    read_records,
    to_line,
    write_records,
)

STEPS = [StepRecord(step, 1.5 / step, 7, 0.25, 1e-3) for step in (1, 2, 3)]


def make_answer(text):
    return AnswerRecord(8, "set", "q", "c", 0, 1, None, "Hi?", text, 3, finished=True)


@given(st.text())
def test_any_text_a_model_writes_stays_one_line_and_comes_back(text):
    line = to_line(make_answer(text)).encode()
    assert line.splitlines(keepends=True) == [line]
    assert parse_record(line, AnswerRecord, "x:1").answer == text


def test_what_was_said_before_a_question_comes_back_and_is_told_turn_by_turn():
    answer = replace(make_answer("Ho."), before=["Sort it.", "def", "Again.", "ghi"])
    assert parse_record(to_line(answer), AnswerRecord, "x:1") == answer
    assert (
        answer.text_before == "user: Sort it.\n\nassistant: def\n\nuser: Again.\n\nassistant: ghi"
    )
    assert make_answer("Ho.").text_before is None


def test_an_answer_from_before_there_were_cues_is_read_as_one_that_nothing_stood_before():
    line = to_line(make_answer("Ho.")).replace(', "before": null', "")
    assert "before" not in line
    assert parse_record(line, AnswerRecord, "x:1") == make_answer("Ho.")


def test_writing_a_file_leaves_no_draft(tmp_path):
    write_records(tmp_path / "a.jsonl", STEPS)
    write_records(tmp_path / "a.jsonl", STEPS[:1])
    assert [file.name for file in tmp_path.iterdir()] == ["a.jsonl"]
    assert read_records(tmp_path / "a.jsonl", StepRecord) == STEPS[:1]


def test_a_file_cut_anywhere_but_between_rows_is_refused_by_line(tmp_path):
    path = tmp_path / "steps.jsonl"
    write_records(path, STEPS)
    written = path.read_bytes()
    for cut in range(len(written) + 1):
        path.write_bytes(written[:cut])
        whole = written[:cut].count(b"\n")
        is_cut = 0 < cut < len(written) and written[cut - 1 : cut + 1].count(b"\n") == 0
        if is_cut:
            with pytest.raises(UserError, match=rf"^{path}:{whole + 1}: not JSON.*run the study"):
                read_records(path, StepRecord)
        else:
            assert len(read_records(path, StepRecord)) in (whole, whole + 1)


@pytest.mark.parametrize("garbage", [b"\0\0\0\0", b"\0\0\n", b'{"step": 4\n', b"\xff\n", b"\n"])
def test_garbage_after_the_rows_is_refused_by_line(tmp_path, garbage):
    path = tmp_path / "steps.jsonl"
    write_records(path, STEPS)
    path.write_bytes(path.read_bytes() + garbage)
    with pytest.raises(UserError, match=rf"^{path}:4: not JSON"):
        read_records(path, StepRecord)


def test_a_number_that_is_not_finite_is_never_written(tmp_path):
    bad = StepRecord(1, float("nan"), 7, 0.0, 1e-3)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_records(tmp_path / "a.jsonl", [STEPS[0], bad])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_has_no_records_and_one_that_is_is_read_as_ever(tmp_path):
    path = tmp_path / "steps.jsonl"
    assert read_if_there(path, StepRecord) == []
    write_records(path, [StepRecord(1, 2.0, 9, 0.5, 1e-3)])
    assert read_if_there(path, StepRecord) == read_records(path, StepRecord) != []
    path.write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        read_if_there(path, StepRecord)
