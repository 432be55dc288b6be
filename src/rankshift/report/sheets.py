"""CSV that a spreadsheet takes for text: no cell of a model's or an author's is a formula."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'")
"""A text that begins so gets a `'` before it, the last one too, so that taking off one `'` from
every text that has it gives the very text back. Source: OWASP, "CSV Injection"."""

TOLD = (
    "A text that begins with = + - @, a tab, a line's end or ' has a ' put before it, so that no "
    "spreadsheet takes it for a formula; take off one leading ' to have it as it was."
)
"""What is said wherever such a file is offered."""


def guard(value: Any) -> Any:
    """Make a text safe to open in a spreadsheet; numbers stay, None becomes an empty cell."""
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", "backslashreplace").decode("utf-8")  # a lone surrogate is no UTF-8
    return f"'{text}" if text.startswith(STARTS) else text


def write_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Write rows as CSV under the keys of all of them, in the order in which they are met."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(list_cells(row, columns) for row in rows)
    return text.getvalue()


def list_cells(row: dict[str, Any], columns: Iterable[str]) -> list[Any]:
    """List a row's cells in the order of the columns."""
    return [guard(row.get(column)) for column in columns]
