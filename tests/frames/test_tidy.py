"""One type a column, whatever is missing."""

from typing import Any

import pytest

from rankshift.frames.tidy import flatten, make_frame, make_frame_of_rows


def test_a_missing_count_leaves_whole_numbers_whole():
    frame: Any = make_frame({"n": [2**60 + 1, None]}, {"n": "Int64", "why": "str"})
    assert frame["n"][0] == 2**60 + 1
    assert frame["n"].isna().tolist() == [False, True]
    assert frame["why"].isna().all()


def test_a_column_that_nobody_named_is_refused():
    with pytest.raises(AssertionError, match="m"):
        make_frame({"m": [1]}, {"n": "Int64"})


def test_keys_that_are_not_named_get_a_type_by_their_values():
    rows = [{"n": 1, "flag": True, "x": 1}, {"n": 2, "x": 0.5, "word": "a", "none": None}]
    frame: Any = make_frame_of_rows(rows, {"n": "float64"})
    assert frame.dtypes.astype(str).to_dict() == {
        "n": "float64",
        "flag": "boolean",
        "x": "float64",
        "word": "str",
        "none": "float64",
    }
    assert make_frame_of_rows([], {"n": "Int64"}).empty


def test_what_is_nested_becomes_columns_and_lists_of_objects_are_left_out():
    row = {"a": {"rate": 0.5, "low": 0.1, "of": {"deep": 1}}, "layers": [0, 1], "seeds": [{"s": 1}]}
    assert flatten(row) == {"a": 0.5, "a_low": 0.1, "a_of_deep": 1, "layers": "0+1"}
    frame: Any = make_frame_of_rows([{"layers": None}], {"layers": "str"})
    assert frame["layers"].isna().all()
