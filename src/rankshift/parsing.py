"""One line of JSON as one dataclass, every field of its own type: an edited one is refused."""

import json
import reprlib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from rankshift.errors import UserError

T = TypeVar("T")

PLAIN = (str, int, float, bool, NoneType)
"""Types whose values need no look inside."""


def parse_record(line: str | bytes, kind: type[T], where: str) -> T:
    """Read one line as one record, every field of its own type.

    Args:
        line: One line of JSON.
        kind: The record's class.
        where: `file:line`, for the message.

    Raises:
        UserError: It is not JSON, or a field is unknown, missing or of another type.
    """
    hints, plain = _list_types(kind)
    fix = "remove the file and run the study again"
    try:
        row = json.loads(line)
    except ValueError:
        raise UserError(f"{where}: not JSON; the file was cut or edited: {fix}") from None
    if not isinstance(row, dict) or not row.keys() <= hints.keys():
        raise UserError(f"{where}: not a {kind.__name__}; written by another version? {fix}")
    # Nearly every value is of a plain type that its field takes as it is, and a run has millions.
    for key in [key for key, value in row.items() if type(value) not in plain[key]]:
        if not _is_a(row[key], hints[key]):
            raise UserError(
                f"{where}: {key} of a {kind.__name__} cannot be {reprlib.repr(row[key])}; {fix}"
            )
        row[key] = _widen(row[key], hints[key])
    try:
        return kind(**row)
    except TypeError:
        missing = [f.name for f in fields(kind) if f.name not in row and f.default is MISSING]  # pyright: ignore[reportArgumentType]
        raise UserError(f"{where}: a {kind.__name__} without {missing[0]}; {fix}") from None


@cache
def _list_types(kind: type[Any]) -> tuple[Mapping[str, Any], Mapping[str, frozenset[type]]]:
    """Give each field's type, and the plain ones that it takes as they are."""
    hints = get_type_hints(kind)
    plain = {key: frozenset(PLAIN) & {hint, *get_args(hint)} for key, hint in hints.items()}
    lists = {key for key, hint in hints.items() if get_origin(hint) in (list, Literal)}
    return hints, plain | dict.fromkeys(lists, frozenset())


def _is_a(value: object, hint: object) -> bool:
    """Say whether a JSON value is of a field's type; 2 is also a float, true is no number."""
    options = get_args(hint)
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in options
    if get_origin(hint) is list:
        return isinstance(value, list) and all(_is_a(item, options[0]) for item in value)
    if options:
        return any(_is_a(value, option) for option in options)
    if hint is float and type(value) is int:
        return abs(value) <= 2**53  # every one of them is a float
    return type(value) is hint


def _widen(value: Any, hint: object) -> Any:
    if isinstance(value, list):
        (item,) = [get_args(o)[0] for o in (hint, *get_args(hint)) if get_origin(o) is list]
        return [_widen(entry, item) for entry in value]
    return float(value) if type(value) is int and float in (hint, *get_args(hint)) else value
