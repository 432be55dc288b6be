"""Questions that come as a CSV file with a header: read row by row, so that a bad row is named."""

import csv
from pathlib import Path

from rankshift.errors import UserError

Row = tuple[str, dict[str, str]]
"""Where the row ends, `file:line` for messages, and its values by column."""


def read_columns(path: Path) -> list[str]:
    """Give the names of the columns of a CSV file, or nothing where it is no text.

    Raises:
        UserError: The file is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; save the file as UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{path}:1: not CSV ({error}); a header is expected") from None


def read_table(path: Path, columns: tuple[str, ...]) -> list[Row]:
    """Read a CSV file, RFC 4180, a byte order mark or none.

    Args:
        path: The file.
        columns: Those that must be there and in no row empty; others are let through.

    Raises:
        UserError: A column is missing, a row has more or fewer values than there are columns, or
            an empty one; names file and line. Or there is no row.
    """
    names = read_columns(path)
    missing = next((column for column in columns if column not in names), None)
    if missing is not None:
        raise UserError(f"{path}:1: has no column `{missing}`; {', '.join(columns)} are needed")
    rows: list[Row] = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            next(reader)
            for values in reader:
                if values:
                    where = f"{path}:{reader.line_num}"
                    rows.append((where, _name(values, names, columns, where)))
        except csv.Error as error:
            raise UserError(
                f"{path}:{reader.line_num}: not CSV ({error}); quote texts with commas, quotes or "
                "line breaks"
            ) from None
        except UnicodeDecodeError:
            raise UserError(f"{path}: not UTF-8; save the file as UTF-8") from None
    if not rows:
        raise UserError(f"{path}: no rows; {', '.join(columns)} are needed")
    return rows


def _name(
    values: list[str], names: list[str], columns: tuple[str, ...], where: str
) -> dict[str, str]:
    if len(values) != len(names):
        raise UserError(f"{where}: {len(values)} values for {len(names)} columns; correct the row")
    row = dict(zip(names, values, strict=True))
    empty = next((column for column in columns if not row[column].strip()), None)
    if empty is not None:
        raise UserError(f"{where}: `{empty}` is empty; give it a text or remove the row")
    return row
