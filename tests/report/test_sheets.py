import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankshift.report.sheets import STARTS, guard, list_cells, write_csv

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "=cmd|' /C calc'!A0"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_begins_as_a_formula_does(text: str):
    assert guard(text) == f"'{text}"


@given(st.text())
def test_taking_off_one_mark_gives_the_text_back(text: str):
    safe = guard(text)
    assert not safe.startswith(STARTS[:-1])
    back = safe.removeprefix("'") if safe.startswith("'") else safe
    assert back == text.encode("utf-8", "backslashreplace").decode()


def test_numbers_stay_numbers_and_nothing_is_an_empty_cell():
    assert list_cells({"a": -1.5, "b": None, "c": True}, ("a", "b", "c", "d")) == [
        -1.5,
        None,
        True,
        None,
    ]


def test_columns_are_those_of_all_rows_in_the_order_in_which_they_come():
    text = write_csv([{"a": 1}, {"b_count": "x,\ny", "a": 2}])
    assert list(csv.reader(io.StringIO(text))) == [["a", "b_count"], ["1", ""], ["2", "x,\ny"]]


def test_half_a_character_is_written_as_its_code():
    assert guard("a\ud800") == "a\\ud800"
