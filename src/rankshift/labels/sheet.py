"""The sheet that people fill in: a CSV file that a spreadsheet opens, runs nothing of, and saves.

Model text is hostile input, and a spreadsheet takes a cell that begins with `=` for a formula. Such
cells get an apostrophe in front, which is taken off again when the sheet comes back.
"""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rankshift.errors import UserError
from rankshift.eval.scoring import WORDS, Reading

COLUMNS = ("id", "question", "answer", "aligned", "coherent", "note")

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", *"\uff1d\uff0b\uff0d\uff20")
"""What makes a cell a formula, in some spreadsheet and locale; the last four are full-width forms.

Source: OWASP, CSV Injection (owasp.org/www-community/attacks/CSV_Injection).
"""

APOSTROPHE = "'"

LONGEST_CELL = 32_000
"""Characters of a cell; Excel keeps 32,767 and drops the others without a word."""


@dataclass(frozen=True)
class Row:
    """One row as it came back."""

    number: int
    """As spreadsheets count, the header being row 1."""
    id: str
    question: str
    answer: str
    aligned: str
    coherent: str


def write_sheet(rows: Iterable[tuple[str, str, str]]) -> str:
    """Give the text of a sheet with empty columns for the labels.

    Args:
        rows: Id, question and answer of each.
    """
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for name, question, answer in rows:
        writer.writerow([name, escape(show(question)), escape(show(answer)), "", "", ""])
    return "\ufeff" + text.getvalue()  # the mark by which Excel knows UTF-8


def read_sheet(path: Path) -> list[Row]:
    """Read a sheet back, whichever of comma, semicolon and tab the spreadsheet saved it with.

    Raises:
        UserError: It is not there, not text, or lacks a column.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; give the sheet that was filled in") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; save the sheet as CSV UTF-8") from None
    csv.field_size_limit(2**31 - 1)
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    try:
        cells = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise UserError(f"{path}: not CSV ({error}); save the sheet as CSV again") from None
    names = [name.strip().lower() for name in cells[0]] if cells else []
    missing = [name for name in COLUMNS[:-1] if names.count(name) != 1]
    if missing:
        raise UserError(
            f"{path}: row 1 must name the column `{missing[0]}` once; keep the header of the "
            f"exported sheet: {', '.join(COLUMNS)}"
        )
    places = [names.index(name) for name in COLUMNS[:-1]]
    return [
        Row(number, *(row[at] if at < len(row) else "" for at in places))
        for number, row in enumerate(cells[1:], start=2)
        if any(cell.strip() for cell in row)
    ]


def escape(cell: str) -> str:
    """Keep a spreadsheet from taking a cell for a formula."""
    return APOSTROPHE + cell if cell.startswith((*FORMULA_STARTS, APOSTROPHE)) else cell


def is_same(cell: str, text: str) -> bool:
    """Say whether a cell that came back is the text that was written.

    Some spreadsheets take the apostrophe away, and some write line ends in their own way.
    """
    found, shown = _join_lines(cell), _join_lines(show(text))
    return found in (shown, escape(shown), _join_lines(escape(show(text))))


def show(text: str) -> str:
    """Give a text as a sheet holds it: whole letters only, and cut where a cell would be."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if len(whole) <= LONGEST_CELL:
        return whole
    return f"{whole[:LONGEST_CELL]} [and {len(whole) - LONGEST_CELL:,} characters more]"


def read_label(row: Row, where: str) -> dict[str, Reading] | None:
    """Read what a person said of one answer, by metric; None for nothing.

    Like a judge, a person may say CODE or REFUSAL in place of an alignment; coherence may then stay
    empty.

    Raises:
        UserError: A score is missing or out of range.
    """
    aligned, coherent = row.aligned.strip(), row.coherent.strip()
    if not aligned and not coherent:
        return None
    word = WORDS.get(aligned.upper())
    if word is not None:
        score = Reading(value=_read_score(coherent, "coherent", where)) if coherent else Reading()
        return {"aligned": Reading(reason=word), "coherent": score}
    for name, cell in (("aligned", aligned), ("coherent", coherent)):
        if not cell:
            raise UserError(f"{where}: `{name}` is empty beside a label; fill in both, or neither")
    return {
        "aligned": Reading(value=_read_score(aligned, "aligned", where)),
        "coherent": Reading(value=_read_score(coherent, "coherent", where)),
    }


def _read_score(cell: str, column: str, where: str) -> float:
    try:
        score = float(cell.replace(",", "."))
    except ValueError:
        score = math.nan
    if not 0 <= score <= 100:
        words = f", or {' or '.join(WORDS)}" if column == "aligned" else ""
        raise UserError(f"{where}: `{column}` is {cell[:40]!r}; give a number from 0 to 100{words}")
    return score


def _join_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def find_altered(row: Row, question: str, answer: str) -> str | None:
    """Name the column whose text is not what was exported; None when both are."""
    pairs: Sequence[tuple[str, str, str]] = (
        ("question", row.question, question),
        ("answer", row.answer, answer),
    )
    return next((name for name, cell, text in pairs if not is_same(cell, text)), None)
