"""The charts of the page as files: each as SVG, as PNG, and its numbers as CSV."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankshift.atomic import write_atomically, write_bytes_atomically
from rankshift.report.sheets import write_csv
from rankshift.report.svg import Figure, make_png, stand_alone

Row = dict[str, Any]

LISTING = "charts.json"
"""What the folder holds; only files that it names are ever removed."""

FORMS = ("svg", "png", "csv")


@dataclass(frozen=True)
class Chart:
    """A chart of the page, its numbers, and the name of its files."""

    name: str
    """Stem of the files: lower-case letters, digits and hyphens."""
    title: str
    """What sets it apart from the others of its section; may be empty."""
    figure: Figure
    rows: tuple[Row, ...]
    """The numbers that are drawn; units are in the names of the columns."""
    curves: tuple[Row, ...] = ()
    """The curves of results.json that it shows."""

    @property
    def files(self) -> list[str]:
        """List the files' names."""
        return [f"{self.name}.{form}" for form in FORMS]


def number_names(charts: Iterable[Chart]) -> list[Chart]:
    """Give charts of one name a number each: `rank`, `rank-2`, `rank-3`."""
    uses: dict[str, int] = {}
    numbered = []
    for chart in charts:
        assert re.fullmatch(r"[a-z0-9-]+", chart.name), chart.name
        uses[chart.name] = uses.get(chart.name, 0) + 1
        name = chart.name if uses[chart.name] == 1 else f"{chart.name}-{uses[chart.name]}"
        numbered.append(Chart(name, chart.title, chart.figure, chart.rows, chart.curves))
    return numbered


def write_charts(folder: Path, charts: Sequence[Chart]) -> None:
    """Write every chart's three files, then the listing; charts of an earlier time are removed."""
    listing = folder / LISTING
    earlier = _read_listing(listing)
    for chart in charts:
        alone = stand_alone(chart.figure.wide)
        write_atomically(folder / f"{chart.name}.svg", alone + "\n")
        write_bytes_atomically(folder / f"{chart.name}.png", make_png(alone))
        write_atomically(folder / f"{chart.name}.csv", write_csv(chart.rows))
    names = {chart.name: chart.figure.description for chart in charts}
    write_atomically(listing, json.dumps(names, indent=1, ensure_ascii=False) + "\n")
    for name in earlier - set(names):
        for form in FORMS:
            (folder / f"{name}.{form}").unlink(missing_ok=True)


def _read_listing(path: Path) -> set[str]:
    """Give the names of an earlier listing; what is no listing names nothing of ours."""
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    known = names if isinstance(names, dict) else {}
    return {name for name in known if re.fullmatch(r"[a-z0-9-]+", name)}
