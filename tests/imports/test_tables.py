"""Reading tables: what is in a file is read letter by letter, what is wrong is named by its row."""

import csv
from pathlib import Path

import pyarrow as arrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from rankshift.errors import UserError
from rankshift.imports.tables import read_rows


def write(folder: Path, content: bytes, name: str = "x.csv") -> Path:
    """Write a file."""
    path = folder / name
    path.write_bytes(content)
    return path


def refusal(path: Path) -> str:
    """Give what a file is refused with, its folder left out."""
    with pytest.raises(UserError) as refused:
        read_rows(path)
    assert "\n" not in str(refused.value)
    return str(refused.value).replace(f"{path.parent}/", "")


def test_cells_keep_line_breaks_quotes_and_blanks(tmp_path: Path):
    rows = read_rows(write(tmp_path, b'a,b\r\n"one\r\ntwo, ""three""", \n,"4"\n'))
    assert [dict(row.cells) for row in rows] == [
        {"a": 'one\r\ntwo, "three"', "b": " "},
        {"a": "", "b": "4"},
    ]


def test_a_row_is_named_by_its_first_line_and_its_number(tmp_path: Path):
    rows = read_rows(write(tmp_path, b'a,b\n"1\n2\n3",x\n\ny,z\n'))
    assert [row.where for row in rows] == [
        f"{tmp_path}/x.csv:2: row 1",
        f"{tmp_path}/x.csv:6: row 2",
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path):
    assert list(read_rows(write(tmp_path, b"\xef\xbb\xbfa,b\n1,2\n"))[0].cells) == ["a", "b"]


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1))
def test_what_python_writes_as_csv_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]]
):
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *cells])
    assert [tuple(row.cells.values()) for row in read_rows(path)] == cells


def test_json_lines_keep_numbers_nulls_and_what_is_nested(tmp_path: Path):
    path = write(tmp_path, b'{"a": 1.5, "b": null}\n\n{"a": "x", "c": {"d": [1]}}\n', "x.jsonl")
    assert [dict(row.cells) for row in read_rows(path)] == [
        {"a": 1.5, "b": None},
        {"a": "x", "c": {"d": [1]}},
    ]


def test_a_line_break_of_unicode_does_not_end_a_json_line(tmp_path: Path):
    path = write(tmp_path, '{"a": "one\u2028two\x85"}\n'.encode(), "x.jsonl")
    assert read_rows(path)[0].cells["a"] == "one\u2028two\x85"


def test_parquet_is_read_as_json_lines_are(tmp_path: Path):
    table = arrow.table({"a": ["x", None], "b": [1.5, None], "c": [{"d": 1}, {"d": 2}]})
    parquet.write_table(table, tmp_path / "x.parquet")
    rows = read_rows(tmp_path / "x.parquet")
    assert [dict(row.cells) for row in rows] == [
        {"a": "x", "b": 1.5, "c": {"d": 1}},
        {"a": None, "b": None, "c": {"d": 2}},
    ]
    assert rows[1].where == f"{tmp_path}/x.parquet: row 2"


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "x.csv", "x.csv: is empty; give a file with answers"),
        (b" \n\n", "x.csv", "x.csv: is empty; give a file with answers"),
        (b"a,b\n", "x.csv", "x.csv: holds no row; give a file with answers"),
        (b"a,b,a\n1,2,3\n", "x.csv", "x.csv:1: the column 'a' is there twice; remove one of them"),
        (
            b"a,b\n1,2\n3,4,5\n",
            "x.csv",
            "x.csv:3: row 2: has 3 cells where the header has 2; quote cells that hold commas, "
            "quotes or line breaks",
        ),
        (
            b'a,b\n1,2\n"3,4\n5,6\n',
            "x.csv",
            "x.csv:3: not CSV from here on (unexpected end of data); export it again",
        ),
        (
            b"a,b\n1,2\n3,\x00\n",
            "x.csv",
            "x.csv:3: holds a NUL character, so it is no UTF-8 text; save it so",
        ),
        (b"a,b\n1,\xe9\n", "x.csv", "x.csv:2: not UTF-8; save the file as UTF-8"),
        (b'{"a": 1}\n{"a": \n', "x.jsonl", "x.jsonl:2: row 2: not JSON; write one object a line"),
        (b"[1]\n", "x.jsonl", "x.jsonl:1: row 1: is no JSON object; write one object a line"),
        (
            b'{"a": 1, "a": 2}\n',
            "x.ndjson",
            "x.ndjson:1: row 1: the column 'a' is there twice; remove one of them",
        ),
        (
            b"a,b\n",
            "x.xlsx",
            "x.xlsx: ends in none of .csv, .jsonl, .ndjson, .parquet and .eval; rename it",
        ),
    ],
)
def test_a_malformed_file_is_refused_by_line_and_row(
    tmp_path: Path, content: bytes, name: str, message: str
):
    assert refusal(write(tmp_path, content, name)) == message


def test_what_only_ends_like_parquet_is_refused(tmp_path: Path):
    message = refusal(write(tmp_path, b"a,b\n1,2\n", "x.parquet"))
    assert message.startswith("x.parquet: not Parquet (")
    assert message.endswith("); export it again")


@given(st.binary(), st.sampled_from(["x.csv", "x.jsonl"]))
def test_any_bytes_are_rows_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
):
    path = write(tmp_path_factory.mktemp("bytes"), content, name)
    message = ""
    try:
        assert read_rows(path)
    except UserError as refused:
        message = str(refused)
    assert "\n" not in message
