"""A sheet is finished when its last call has ended, and not before."""

from dataclasses import replace
from pathlib import Path

from rankshift.eval.calls import fail_call, record_reading
from rankshift.eval.rubrics import OURS
from rankshift.eval.scoring import Reading
from rankshift.executor.desk import Desk, Sheet
from rankshift.records import AnswerRecord, CallRecord, VerdictRecord, read_records, write_records

ANSWER = AnswerRecord(4, "s", "q", "q", 0, 0, None, "Q?", "A.", 2, finished=True)


def make_desk(folder: Path, records: dict[str, CallRecord]) -> tuple[Desk, list[Sheet]]:
    """Two sheets that share one answer; the second has one more."""
    sheets = [Sheet(folder / f"a{n}", folder / f"v{n}") for n in range(2)]
    write_records(sheets[0].answers, [ANSWER])
    write_records(sheets[1].answers, [ANSWER, replace(ANSWER, answer="B.", repeat=1)])
    return Desk("j", sheets, lambda answer: OURS[answer.kind], records), sheets


def test_verdicts_appear_as_soon_as_a_sheets_last_call_ends(tmp_path: Path):
    records: dict[str, CallRecord] = {}
    desk, sheets = make_desk(tmp_path, records)
    assert desk.distinct == 4
    there = []
    for call in list(desk.todo.values()):
        records[call.key] = record_reading(call, Reading(value=60.0), 1)
        desk.take(records[call.key])
        there.append(tuple(sheet.verdicts.exists() for sheet in sheets))
    assert there == [(False, False), (True, False), (True, False), (True, True)]
    assert len(read_records(sheets[1].verdicts, VerdictRecord)) == 2
    assert desk.todo == {}


def test_a_failed_call_keeps_its_sheets_waiting_for_the_end(tmp_path: Path):
    records: dict[str, CallRecord] = {}
    desk, sheets = make_desk(tmp_path, records)
    for call in list(desk.todo.values()):
        records[call.key] = fail_call(call, 3, "gone")
        desk.take(records[call.key])
    assert not any(sheet.verdicts.exists() for sheet in sheets)
    desk.finish_all()
    reasons = [v.reason for s in sheets for v in read_records(s.verdicts, VerdictRecord)]
    assert reasons == ["failed_call"] * 3


def test_what_was_said_before_is_not_on_the_list(tmp_path: Path):
    records: dict[str, CallRecord] = {}
    first, _ = make_desk(tmp_path, records)
    for call in list(first.todo.values())[:2]:
        records[call.key] = record_reading(call, Reading(value=60.0), 1)
    desk, sheets = make_desk(tmp_path, records)
    assert len(desk.todo) == 2
    desk.finish_complete()
    assert [sheet.verdicts.exists() for sheet in sheets] == [True, False]
