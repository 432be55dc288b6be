"""Nested settings and provenance as lines of a table, in words."""

from collections.abc import Iterator
from typing import Any

from rankshift.report.wording import NOTHING, format_number


def name_models(settings: dict[str, Any]) -> dict[str, Any]:
    """Put the models of a study's settings under their names."""
    models = settings.get("models") or ()
    return settings | ({"models": {m["name"]: m for m in models}} if models else {})


def flatten(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """List nested settings as `table.key` and a value in words."""
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _word(value)


def _word(value: object) -> str:
    if isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value):
        return f"{len(value)} different ones: see results.json"
    if isinstance(value, list | tuple) and any(isinstance(item, list | tuple) for item in value):
        return "; ".join(map(_word, value))
    if isinstance(value, list | tuple):
        return ", ".join(map(_word, value)) or NOTHING
    if value is None or value in ("", {}):
        return NOTHING
    if isinstance(value, float):
        return format_number(value)
    return str(value)
