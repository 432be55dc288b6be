from pathlib import Path

import pytest

from rankshift.errors import UserError
from rankshift.eval.tables import read_columns, read_table


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_quotes_line_breaks_and_a_byte_order_mark_are_read_as_the_standard_says(tmp_path: Path):
    path = write(tmp_path, '\ufeffa,b\r\n"x, ""y""\nz",1\r\n\r\n w ,2\r\n')
    assert read_columns(path) == ["a", "b"]
    assert read_table(path, ("a",)) == [
        (f"{path}:3", {"a": 'x, "y"\nz', "b": "1"}),
        (f"{path}:5", {"a": " w ", "b": "2"}),
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a,b\n1,2\n3\n", "table.csv:3: 1 values for 2 columns"),
        ("a,b\n1,2,3\n", "table.csv:2: 3 values for 2 columns"),
        ("a,b\n ,2\n", "table.csv:2: `a` is empty"),
        ("b\n2\n", "table.csv:1: has no column `a`"),
        ("", "table.csv:1: has no column `a`"),
        ("a,b\n", "no rows"),
        ('a,b\n1,"2\n', "table.csv:2: not CSV"),
        ('a,b\n1,"2"x\n', "table.csv:2: not CSV"),
        (b"a,b\n1,\xff\n", "not UTF-8"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_malformed_row_is_named_in_one_line(tmp_path: Path, content: str | bytes, problem: str):
    with pytest.raises(UserError) as error:
        read_table(write(tmp_path, content), ("a",))
    assert problem in str(error.value)
    assert "\n" not in str(error.value)
