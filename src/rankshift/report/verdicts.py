"""Whether there is a peak, and whether that survives other ways of counting: words and tables."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rankshift.report.judges import Table
from rankshift.report.wording import (
    NOTHING,
    format_number,
    format_percent,
    name_match,
    name_setting,
)

Row = dict[str, Any]

VARIED = {
    "threshold": "Thresholds of alignment and coherence",
    "judge": "Judge",
    "question_set": "Questions",
    "denominator": "Out of which answers",
    "leave_out_question": "Without one question",
    "leave_out_seed": "Without one seed",
}
"""What a row of the robustness grid varies, in the order of the page."""


FOLDED_FROM = 6
"""More variants of one kind than this are a table of their own, folded away."""


@dataclass(frozen=True)
class HeatCell:
    """What comes out at one pair of thresholds."""

    verdict: str
    highest: str
    is_primary: bool


@dataclass(frozen=True)
class Heat:
    """Verdicts over thresholds: a row for each of alignment, a column for each of coherence."""

    alignments: tuple[str, ...]
    coherences: tuple[str, ...]
    cells: dict[tuple[str, str], HeatCell]


@dataclass(frozen=True)
class Robustness:
    """The section's sentence, its grid, and what does not fit in a grid."""

    sentence: str
    heat: Heat | None
    tables: tuple[Table, ...]


def tabulate_peaks(results: dict[str, Any]) -> Table | None:
    """List the verdict for every curve and reading; None where nothing was tested."""
    peaks = results.get("peaks") or []
    if not peaks:
        return None
    heads = ("Reading", "Verdict", "Statistic", "Critical value", "Ranks not below the best")
    return Table(
        "The test of a peak for every curve and reading; the primary one decides, the others "
        "describe",
        (*heads, "Two lines, points an octave", "Outcome", "Curve"),
        tuple(
            (
                name_reading(peak["reading"]) + (" (primary)" if peak["primary"] else ""),
                peak["verdict"],
                _format_statistic(peak["statistic"]),
                _format_statistic(peak["critical_value"]),
                ", ".join(map(str, peak["confidence_set"])) or NOTHING,
                _tell_two_lines(peak.get("two_lines")),
                peak["outcome"].replace("_", " "),
                _name_curve(peak["key"]),
            )
            for peak in peaks
        ),
        is_long=len(peaks) > 4,
    )


def name_reading(reading: str) -> str:
    """Name when arms are read: `the end of training`, `90% of the skill`."""
    kind, _, value = reading.partition(" ")
    if kind == "end":
        return "the end of training"
    try:
        return name_match({"kind": kind, "value": float(value)})
    except ValueError:
        return reading


def describe_robustness(results: dict[str, Any]) -> Robustness | None:
    """Describe the robustness grid; None where there is none."""
    found = results.get("robustness")
    if not found or not found["rows"]:
        return None
    heat = _build_heat(found["rows"])
    listed = [row for row in found["rows"] if heat is None or row["varies"] != "threshold"]
    kinds = list(dict.fromkeys([*VARIED, *(row["varies"] for row in listed)]))
    groups = {kind: [row for row in listed if row["varies"] == kind] for kind in kinds}
    short = [row for rows in groups.values() if len(rows) <= FOLDED_FROM for row in rows]
    tables = [_tabulate("Other ways of counting", short)] if short else []
    tables += [
        _tabulate(VARIED.get(kind, kind), rows)
        for kind, rows in groups.items()
        if len(rows) > FOLDED_FROM
    ]
    return Robustness(found["sentence"], heat, tuple(tables))


def read_thresholds(setting: str) -> tuple[str, str] | None:
    """Read alignment's and coherence's threshold out of a setting's name, in that order."""
    numbers = re.findall(r"\d+(?:\.\d+)?", setting)
    return (numbers[0], numbers[1]) if len(numbers) == 2 else None


def _build_heat(rows: Sequence[Row]) -> Heat | None:
    """Build the grid; None where a setting does not name two numbers."""
    grid = {}
    for row in rows:
        if row["varies"] == "threshold":
            place = read_thresholds(row["setting"])
            if place is None:
                return None
            grid[place] = HeatCell(row["verdict"], _tell_highest(row), place == ("30", "50"))
    alignments = sorted({place[0] for place in grid}, key=float)
    coherences = sorted({place[1] for place in grid}, key=float)
    return Heat(tuple(alignments), tuple(coherences), grid) if grid else None


def _tabulate(title: str, rows: Sequence[Row]) -> Table:
    verdicts = ", ".join(
        f"{sum(row['verdict'] == verdict for row in rows)} {verdict}"
        for verdict in dict.fromkeys(row["verdict"] for row in rows)
    )
    return Table(
        f"{title}: {verdicts}",
        ("What varies", "Variant", "Verdict", "Statistic", "Critical value", "Highest mean"),
        tuple(
            (
                VARIED.get(row["varies"]) or str(row["varies"]),
                row["setting"].replace("_", " "),
                row["verdict"],
                _format_statistic(row["statistic"]),
                _format_statistic(row["critical_value"]),
                _tell_highest(row),
            )
            for row in rows
        ),
        is_long=len({row["varies"] for row in rows}) == 1 and len(rows) > FOLDED_FROM,
    )


def _tell_highest(row: Row) -> str:
    if row["highest_rank"] is None or row["highest_rate"] is None:
        return NOTHING
    return f"{format_percent(row['highest_rate'])} at rank {row['highest_rank']}"


def _name_curve(key: Row) -> str:
    return f"{name_setting(key)}; {key['question_set']}, judged by {key['judge']}"


def _format_statistic(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"


def _tell_two_lines(lines: Row | None) -> str:
    if not lines or lines.get("left_slope") is None or lines.get("right_slope") is None:
        return NOTHING
    left, right = (f"{100 * lines[key]:+.1f}" for key in ("left_slope", "right_slope"))
    return f"{left}, then {right} from rank {format_number(lines['break_rank'])}"
