"""The journal holds every call that ended, whatever moment it was left at."""

from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.errors import UserError
from rankshift.eval.calls import fail_call, make_call, record_reading
from rankshift.eval.journal import Journal, list_lacking, read_journal
from rankshift.eval.rubrics import ALIGNED
from rankshift.eval.scoring import Reading
from rankshift.records import AnswerRecord, to_line

ANSWER = AnswerRecord(4, "s", "q", "q", 0, 0, None, "Q?", "A.", 2, finished=True)
CALL = make_call("j", ALIGNED, ANSWER)
GOOD = record_reading(CALL, Reading(value=50.0, mass=0.9), 1)
ODD = replace(GOOD, text="\u2028 \ud83d\ude00 \x85", tokens=["a\nb"], logprobs=[-1.0])


def write(path: Path, *records) -> None:
    with Journal(path) as journal:
        for record in records:
            journal.append(record)


def test_what_was_appended_is_there_again(tmp_path: Path):
    write(tmp_path / "j" / "a.jsonl", ODD)
    with Journal(tmp_path / "j" / "a.jsonl") as journal:
        assert journal.records == {CALL.key: ODD}
        assert list_lacking(journal.records, [CALL.key, "other"]) == ["other"]


def test_a_failed_call_is_still_to_be_made_and_a_later_line_replaces_it(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    write(path, fail_call(CALL, 5, "gone"))
    with Journal(path) as journal:
        assert list_lacking(journal.records, [CALL.key]) == [CALL.key]
        journal.append(GOOD)
        assert list_lacking(journal.records, [CALL.key]) == []
    with Journal(path) as journal:
        assert journal.records == {CALL.key: GOOD}


@pytest.mark.parametrize("cut", [1, 10, 100])
def test_a_torn_last_line_is_taken_away(tmp_path: Path, cut: int):
    path = tmp_path / "a.jsonl"
    write(path, GOOD)
    whole = path.read_bytes()
    path.write_bytes(whole + to_line(GOOD).encode()[:cut])
    write(path, replace(GOOD, key="next"))
    assert path.read_bytes().startswith(whole)
    with Journal(path) as journal:
        assert list(journal.records) == [CALL.key, "next"]


def test_reading_alone_writes_nothing(tmp_path: Path):
    assert read_journal(tmp_path / "j" / "a.jsonl") == {}
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "a.jsonl", GOOD)
    assert read_journal(tmp_path / "a.jsonl") == {CALL.key: GOOD}


def test_an_altered_line_is_refused_with_its_number(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    write(path, GOOD, replace(GOOD, key="next"))
    path.write_text(path.read_text().replace("50.0", '"50"', 1))
    with pytest.raises(UserError, match=r"a\.jsonl:1: value"), Journal(path):
        pass
