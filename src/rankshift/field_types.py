"""Whether a JSON value is of the type that a record's field has, and as what it is kept.

A study has hundreds of thousands of records and each is checked every time it is read, so a row
whose values are all plainly right is told by one look at each; only the others are gone through
by rule.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Plain:
    """What a field takes as it is: exact types, and words."""

    types: frozenset[type]
    words: frozenset[str]


@cache
def type_hints(kind: type[Any]) -> dict[str, Any]:
    """Give a record's fields with their types."""
    return get_type_hints(kind)


def is_plain(row: dict[str, Any], kind: type[Any]) -> bool:
    """Say whether every value is right and is kept as it is; the fields' names are known."""
    plain = _plain_fields(kind)
    for key, value in row.items():
        field = plain[key]
        if type(value) not in field.types and not (
            type(value) is str and value in field.words  # a list cannot be looked up
        ):
            return False
    return True


def find_wrong(row: dict[str, Any], kind: type[Any]) -> str | None:
    """Name the first field whose value is of another type; None when all are right."""
    hints = type_hints(kind)
    return next((key for key in row if not _is_a(row[key], hints[key])), None)


def widen_row(row: dict[str, Any], kind: type[Any]) -> dict[str, Any]:
    """Make whole numbers floats where a field holds floats."""
    hints = type_hints(kind)
    return {key: _widen(value, hints[key]) for key, value in row.items()}


@cache
def _plain_fields(kind: type[Any]) -> dict[str, Plain]:
    return {key: _find_plain(hint) for key, hint in type_hints(kind).items()}


def _find_plain(hint: object) -> Plain:
    if get_origin(hint) is Literal:
        return Plain(frozenset(), frozenset(get_args(hint)))
    if get_origin(hint) is None:
        return Plain(frozenset({hint} if isinstance(hint, type) else ()), frozenset())
    if get_origin(hint) is list:  # its entries have to be gone through
        return Plain(frozenset(), frozenset())
    options = [_find_plain(option) for option in get_args(hint)]
    types = frozenset[type]().union(*(option.types for option in options))
    return Plain(types, frozenset[str]().union(*(option.words for option in options)))


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
