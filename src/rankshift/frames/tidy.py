"""One type a column, whatever a study leaves out: a missing count stays a missing whole number."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import pandas as pd

Kind = Literal["str", "category", "Int64", "float64", "boolean"]
"""Text; text of few different values; whole numbers; numbers; yes or no. What is missing is NaN, in
whole numbers and yes or no `pd.NA`. Each is the name of the pandas dtype."""


def make_frame(columns: Mapping[str, Sequence[Any]], kinds: Mapping[str, Kind]) -> pd.DataFrame:
    """Make a frame with the columns of `kinds`, in their order, each of its kind.

    Args:
        columns: Values of each column, None for none; of a column that is left out all are None.
        kinds: Name to kind.
    """
    assert set(columns) <= set(kinds), sorted(set(columns) - set(kinds))
    assert set(kinds.values()) <= set(get_args(Kind))
    length = len(next(iter(columns.values()), ()))
    return pd.DataFrame(
        {
            name: _make_column(columns.get(name, [None] * length), kind)
            for name, kind in kinds.items()
        }
    )


def _make_column(values: Sequence[Any], kind: Kind) -> pd.Series:
    if kind == "category":  # of text, even where there is none
        return pd.Series(values, dtype="str").astype("category")
    return pd.Series(values, dtype=kind)


def make_frame_of_rows(
    rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, Kind]
) -> pd.DataFrame:
    """Make a frame of rows; a key that `kinds` does not name gets a kind by its values."""
    others = dict.fromkeys(key for row in rows for key in row if key not in kinds)
    found: dict[str, Kind] = {name: _find_kind([row.get(name) for row in rows]) for name in others}
    columns = {name: [row.get(name) for row in rows] for name in (*kinds, *found)}
    return make_frame(columns, {**kinds, **found})


def flatten(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Spread what is nested over columns: `{"a": {"rate": 1, "low": 0}}` is `a` and `a_low`.

    A list of words or numbers is joined with `+`; a list of anything else has a frame of its own
    and is left out.
    """
    flat: dict[str, Any] = {}
    for key, value in row.items():
        name = prefix if prefix and key == "rate" else f"{prefix}_{key}" if prefix else key
        if isinstance(value, Mapping):
            flat |= flatten(value, name)
        elif isinstance(value, (list, tuple)):
            if value and not isinstance(value[0], Mapping):
                flat[name] = "+".join(map(str, value))
        else:
            flat[name] = value
    return flat


def _find_kind(values: Sequence[Any]) -> Kind:
    found = {type(value) for value in values if value is not None}
    if found <= {bool} and found:
        return "boolean"
    if found <= {int} and found:
        return "Int64"
    return "float64" if found <= {int, float} else "str"
