"""What a field of a record takes: the quick look and the rules agree on every value."""

import json
from dataclasses import dataclass
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from rankshift.field_types import find_wrong, is_plain, widen_row

Word = Literal["code", "refusal"]


@dataclass(frozen=True)
class Row:
    name: str
    count: int | None
    share: float
    flag: bool | None
    why: Word | None
    parts: list[float] | None


RIGHT = {"name": "a", "count": 2, "share": 0.5, "flag": True, "why": "code", "parts": None}

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["code", "refusal", "other"]),
    st.lists(st.one_of(st.integers(-9, 9), st.booleans(), st.none()), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


@given(st.sampled_from(sorted(RIGHT)), VALUES)
def test_what_is_plainly_right_is_right_by_the_rules_and_kept_as_it_is(key, value):
    row = json.loads(json.dumps(RIGHT | {key: value}))
    if is_plain(row, Row):
        assert find_wrong(row, Row) is None
        assert json.dumps(widen_row(row, Row)) == json.dumps(row)


def test_a_usual_row_is_plain_and_one_that_is_widened_is_not():
    assert is_plain(RIGHT, Row)
    assert is_plain(RIGHT | {"count": None, "flag": None, "why": None}, Row)
    for key, value in (("share", 1), ("parts", [1]), ("parts", [])):
        row = RIGHT | {key: value}
        assert not is_plain(row, Row)
        assert find_wrong(row, Row) is None
    assert type(widen_row(RIGHT | {"share": 1}, Row)["share"]) is float
    assert widen_row(RIGHT | {"parts": [1]}, Row)["parts"] == [1.0]


def test_a_wrong_value_is_found_by_its_field():
    for key, value in (
        ("name", None),
        ("count", True),
        ("count", 1.0),
        ("share", True),
        ("share", 2**53 + 1),
        ("flag", 1),
        ("why", "tired"),
        ("why", []),
        ("parts", [None]),
    ):
        assert not is_plain(RIGHT | {key: value}, Row)
        assert find_wrong(RIGHT | {key: value}, Row) == key
