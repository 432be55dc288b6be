"""CSV, JSON lines and Parquet to rows, read strictly: a row knows its place in its file."""

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shorten

from rankshift.errors import UserError

Cell = object
"""A text, a number, None, or what JSON nests."""


@dataclass(frozen=True)
class Row:
    """One row of a file."""

    where: str
    """File, line and number of the row, for messages; rows are counted from 1, without a header."""
    cells: Mapping[str, Cell]


def read_rows(path: Path) -> list[Row]:
    """Read a table by the ending of its name: .csv, .jsonl (or .ndjson) or .parquet.

    A CSV cell is always a text, and may hold line breaks. Byte order marks are skipped.

    Raises:
        UserError: The file is empty, is not what its name says, has a column twice, or a row is
            not as long as the header; names file and line.
    """
    readers: dict[str, Callable[[Path], list[Row]]] = {
        ".csv": _read_csv,
        ".jsonl": _read_jsonl,
        ".ndjson": _read_jsonl,
        ".parquet": _read_parquet,
    }
    if path.suffix.lower() not in readers:
        raise UserError(f"{path}: ends in none of {', '.join(readers)} and .eval; rename it")
    rows = readers[path.suffix.lower()](path)
    if not rows:
        raise UserError(f"{path}: holds no row; give a file with answers")
    return rows


def _read_csv(path: Path) -> list[Row]:
    csv.field_size_limit(sys.maxsize)  # an answer may be longer than the module expects
    reader = csv.reader(io.StringIO(_read_text(path), newline=""), strict=True)
    header: list[str] | None = None
    rows: list[Row] = []
    begin = 1
    try:
        for cells in reader:
            line, begin = begin, reader.line_num + 1
            if not cells:  # an empty line
                continue
            if header is None:
                header = cells
                _refuse_twins(header, f"{path}:{line}")
                continue
            where = f"{path}:{line}: row {len(rows) + 1}"
            if len(cells) != len(header):
                raise UserError(
                    f"{where}: has {len(cells)} cells where the header has {len(header)}; quote "
                    "cells that hold commas, quotes or line breaks"
                )
            rows.append(Row(where, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise UserError(
            f"{path}:{begin}: not CSV from here on ({error}); export it again"
        ) from None
    return rows


def _read_jsonl(path: Path) -> list[Row]:
    rows: list[Row] = []
    for line, text in enumerate(_read_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        where = f"{path}:{line}: row {len(rows) + 1}"

        def build(pairs: list[tuple[str, Cell]], where: str = where) -> dict[str, Cell]:
            _refuse_twins([key for key, _ in pairs], where)
            return dict(pairs)

        try:
            cells = json.loads(text, object_pairs_hook=build)
        except UserError:  # a ValueError too
            raise
        except (ValueError, RecursionError):
            raise UserError(f"{where}: not JSON; write one object a line") from None
        if not isinstance(cells, dict):
            raise UserError(f"{where}: is no JSON object; write one object a line")
        rows.append(Row(where, cells))
    return rows


def _read_parquet(path: Path) -> list[Row]:
    try:  # imported late: only this format needs it
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        fix = "install it with `pip install rankshift[parquet]`, or save the table as CSV"
        raise UserError(f"{path}: Parquet needs pyarrow; {fix}") from None
    try:
        table = parquet.ParquetFile(path).read()
    except (arrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not Parquet ({reason}); export it again") from None
    _refuse_twins(table.column_names, str(path))
    return [Row(f"{path}: row {at}", cells) for at, cells in enumerate(table.to_pylist(), start=1)]


def _read_text(path: Path) -> str:
    content = path.read_bytes()
    if not content.strip():
        raise UserError(f"{path}: is empty; give a file with answers")
    if (at := content.find(b"\0")) >= 0:
        line = content.count(b"\n", 0, at) + 1
        raise UserError(f"{path}:{line}: holds a NUL character, so it is no UTF-8 text; save it so")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from None


def _refuse_twins(names: list[str], where: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(
            f"{where}: the column {shorten(twice[0])} is there twice; remove one of them"
        )
