"""A run's frames as files for other programs: CSV, and Parquet where pyarrow is installed.

Model text is hostile input, and a spreadsheet takes a cell that begins with `=` for a formula. In
CSV such a cell gets an apostrophe in front, as in the sheets that people label; a program that
reads the CSV takes it off again. Parquet, which no spreadsheet opens, holds the text as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from rankshift.atomic import draft_of, make_folder
from rankshift.frames.loading import FRAMES, load_frames
from rankshift.labels.sheet import escape


@dataclass(frozen=True)
class Tables:
    """What was written."""

    out: Path
    rows: dict[str, int]
    """Frame to its number of rows."""
    has_parquet: bool


def export_tables(directory: Path, out: Path | None = None) -> Tables:
    """Write each frame of a run; files of an earlier export are replaced.

    Args:
        directory: The run's.
        out: Where to; DIRECTORY/export/tables if left out.

    Raises:
        UserError: The directory is not a study's, or a file in it was edited.
    """
    frames = load_frames(directory)
    folder = out or directory / "export" / "tables"
    make_folder(folder)
    has_parquet = find_spec("pyarrow") is not None
    rows = {}
    for name in FRAMES:
        frame: pd.DataFrame = getattr(frames, name)
        _replace(folder / f"{name}.csv", lambda path, f=frame: _write_csv(f, path))
        if has_parquet:
            _replace(folder / f"{name}.parquet", lambda path, f=frame: f.to_parquet(path))
        rows[name] = len(frame)
    return Tables(folder, rows, has_parquet)


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    texts = frame.select_dtypes(["str", "category"]).columns
    safe = {name: frame[name].map(escape, na_action="ignore") for name in texts}
    frame.assign(**safe).to_csv(path, index=False, lineterminator="\n")


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let a reader see the old file or the new one, never a part."""
    with draft_of(path) as draft:
        write(draft)
