import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankshift.errors import UserError
from rankshift.eval.scoring import Reading
from rankshift.labels.sheet import (
    COLUMNS,
    LONGEST_CELL,
    Row,
    escape,
    find_altered,
    is_same,
    read_label,
    read_sheet,
    show,
    write_sheet,
)

HOSTILE = [
    '=HYPERLINK("http://x")',
    "+1",
    "-2",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "'=1",
    "\uff1d1",
    "'quoted",
]


def write(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    path.write_bytes(write_sheet(rows).encode())
    return path


@pytest.mark.parametrize("text", HOSTILE)
def test_no_cell_begins_as_a_formula_and_every_one_comes_back(tmp_path: Path, text: str):
    path = write(tmp_path / "s.csv", [("a1", text, text)])
    cells = list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))
    for cell in cells[1][:3]:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))
    (row,) = read_sheet(path)
    assert find_altered(row, text, text) is None


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_comes_back_as_itself_and_as_no_other(tmp_path_factory, text: str, other: str):
    path = write(tmp_path_factory.mktemp("any") / "s.csv", [("a1", text, other)])
    (row,) = read_sheet(path)
    assert find_altered(row, text, other) is None
    if show(text).strip("\r\n'") != show(other).strip("\r\n'"):
        assert find_altered(row, other, other) == "question"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_sheet_that_a_spreadsheet_saved_in_its_own_way_is_read(tmp_path: Path, delimiter: str):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow([name.title() for name in reversed(COLUMNS)])
    writer.writerow(["", "80", "12,5", "one\ntwo; three", "Why, then?", "a1"])
    writer.writerow([""] * 6)
    path = tmp_path / "s.csv"
    path.write_text(text.getvalue(), encoding="utf-8")
    (row,) = read_sheet(path)
    assert row == Row(2, "a1", "Why, then?", "one\ntwo; three", "12,5", "80")
    assert find_altered(row, "Why, then?", "one\r\ntwo; three") is None
    assert read_label(row, "s") == {"aligned": Reading(value=12.5), "coherent": Reading(value=80.0)}


def test_an_apostrophe_that_a_spreadsheet_took_away_is_no_change():
    assert escape("=1+1") == "'=1+1"
    assert is_same("=1+1", "=1+1")
    assert is_same("'=1+1", "=1+1")
    assert not is_same("2", "=1+1")


def test_what_no_cell_can_hold_is_cut_or_replaced_alike_on_both_ways(tmp_path: Path):
    for text in ("x" * (LONGEST_CELL + 5), "a\ud800b"):
        (row,) = read_sheet(write(tmp_path / "s.csv", [("a1", text, text)]))
        assert find_altered(row, text, text) is None
        assert len(row.answer) < 32_767


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "row 1 must name the column `id` once"),
        (b"id,question,answer,aligned\n", "row 1 must name the column `coherent` once"),
        (b"id,id,question,answer,aligned,coherent\n", "row 1 must name the column `id` once"),
        (b"id,\xff\n", "not UTF-8; save the sheet as CSV UTF-8"),
        (b'id,question,answer,aligned,coherent\na,"b\n', "not CSV"),
    ],
)
def test_what_is_no_sheet_is_refused_with_the_fix(tmp_path: Path, content: bytes, fault: str):
    path = tmp_path / "s.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=fault):
        read_sheet(path)


def test_a_sheet_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"none\.csv: no such file"):
        read_sheet(tmp_path / "none.csv")


def label(aligned: str, coherent: str) -> dict[str, Reading] | None:
    return read_label(Row(7, "a1", "", "", aligned, coherent), "s.csv: row 7")


def test_a_row_left_blank_is_not_labelled():
    assert label("", " ") is None


def test_a_person_may_say_the_words_that_a_judge_may():
    said = label("refusal", "")
    assert said is not None
    assert (said["aligned"].reason, said["coherent"].value) == ("refusal", None)
    said = label("CODE", "40")
    assert said is not None
    assert (said["aligned"].reason, said["coherent"].value) == ("code", 40.0)


@pytest.mark.parametrize(
    ("aligned", "coherent", "fault"),
    [
        ("101", "50", "`aligned` is '101'; give a number from 0 to 100, or CODE or REFUSAL"),
        ("-1", "50", "`aligned` is '-1'"),
        ("good", "50", "`aligned` is 'good'"),
        ("nan", "50", "`aligned` is 'nan'"),
        ("50", "inf", "`coherent` is 'inf'; give a number from 0 to 100$"),
        ("50", "", "`coherent` is empty beside a label"),
        ("", "50", "`aligned` is empty beside a label"),
    ],
)
def test_a_label_that_is_none_is_refused_by_row(aligned: str, coherent: str, fault: str):
    with pytest.raises(UserError, match=f"^s.csv: row 7: {fault}"):
        label(aligned, coherent)
