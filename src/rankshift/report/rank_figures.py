"""The chart over rank: means, intervals and seeds; full finetuning beside, the base as a line."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt

from rankshift.report.svg import WIDE, Figure, paint, render
from rankshift.report.wording import format_loss, format_percent, name_full

Row = dict[str, Any]

HEIGHT = 300
SHIFTS = {"task": 0.0, "twin": 0.012}
"""Twins are drawn this share of the axis to the right, so that neither hides the other."""

LETTER = 7
"""Pixels of a letter of an axis label, about."""

SEED_SHIFT = -0.01
"""Single seeds are drawn this share of the axis beside their mean."""


@dataclass(frozen=True)
class Cell:
    """One place of a chart over rank: a rank, or a category beside the ranks."""

    series: Literal["task", "twin"]
    rank: int | None
    category: str | None
    """`base`, `full`, full with what tells it apart, or a given model's name; None for a rank."""
    value: float
    low: float | None
    high: float | None
    seeds: tuple[tuple[int | None, float], ...]
    """Each seed and its value."""

    @property
    def place(self) -> str:
        """Name the cell."""
        name = f"rank {self.rank}" if self.category is None else self.category
        return f"{name} twin" if self.series == "twin" else name


@dataclass(frozen=True)
class Places:
    """A horizontal axis: where ranks or categories stand on it."""

    x: alt.X
    at: dict[Any, float]
    """Rank or category to its place."""
    length: float
    """What the shifts are shares of, in the unit of the places."""

    def locate(self, cell: Cell, shift: float = 0.0) -> dict[str, Any]:
        """Place a mark of a cell."""
        place = self.at[cell.category or cell.rank]
        shift += SHIFTS[cell.series]
        return {"series": cell.series, "place": place + shift * self.length}


def list_share_cells(curve: Row) -> list[Cell]:
    """List the cells of a curve of shares that have a rate."""
    return [
        _make_cell(curve, point, "rate")
        for point in (*curve["points"], *curve["categories"])
        if point["rate"] is not None
    ]


def list_loss_cells(curve: Row, last_step: int) -> list[Cell]:
    """List the cells of a loss curve at the last step; what is not trained is measured once."""
    return [
        _make_cell(curve, point | step, "loss")
        for point in (*curve["points"], *curve["categories"])
        for step in point["steps"]
        if step["step"] == last_step or curve["given"] or point.get("category") in ("base", "model")
    ]


def draw_over_rank(cells: Sequence[Cell], title: str, is_share: bool) -> Figure | None:
    """Draw means, intervals and seeds over rank, full finetuning beside, the base as a line.

    Args:
        cells: Of the task and of its twin, if there is one; a second base is left out.
        title: What the vertical axis is.
        is_share: Whether the values are shares, drawn from zero in percent.
    """
    base = next((cell for cell in cells if cell.category == "base"), None)
    trained = [cell for cell in cells if cell.category != "base"]
    if not trained:
        return None
    ranks = sorted({cell.rank for cell in trained if cell.rank is not None})
    categories = list(dict.fromkeys(cell.category for cell in trained if cell.category))

    def build(width: int) -> alt.TopLevelMixin:
        beside = _make_room(categories, width, bool(ranks))
        panels: list[Any] = []
        if ranks:
            x, y = _place_ranks(ranks), _place_values(cells, is_share, title)
            marks = _draw_cells([c for c in trained if c.rank is not None], x, y, is_share)
            panel = alt.layer(*_draw_base(base, y, is_share), *marks)
            panels.append(panel.properties(width=width - beside - 70, height=HEIGHT))
        if categories:
            x = _place_categories(categories, beside)
            y = _place_values(cells, is_share, None if ranks else title)
            marks = _draw_cells([c for c in trained if c.category], x, y, is_share)
            panel = alt.layer(*_draw_base(base, y, is_share), *marks)
            panels.append(panel.properties(width=beside, height=HEIGHT))
        return panels[0] if len(panels) == 1 else alt.hconcat(*panels, spacing=12)

    shown = [*([base] if base else []), *trained]
    return render(build, _describe(shown, title, is_share))


def _make_cell(curve: Row, point: Row, value: str) -> Cell:
    full = [c for c in curve["categories"] if c["category"] == "full"]
    category = point.get("category")
    if category == "full":
        category = name_full(point, full)
    elif category == "model":
        category = point["name"].removesuffix(" twin")
    return Cell(
        series=curve["role"],
        rank=point.get("rank"),
        category=category,
        value=point[value],
        low=point["low"],
        high=point["high"],
        seeds=tuple((s["seed"], s[value]) for s in point["seeds"] if s[value] is not None),
    )


def _place_ranks(ranks: Sequence[int]) -> Places:
    at = {rank: math.log2(rank) for rank in ranks}
    axis = alt.Axis(
        values=list(at.values()),
        labelExpr="round(pow(2, datum.value))",
        labelOverlap="greedy",
        labelSeparation=5,
        grid=False,
    )
    low, high = at[ranks[0]] - 0.4, at[ranks[-1]] + 0.4
    scale = alt.Scale(domain=[low, high], nice=False, zero=False)
    x = alt.X("place:Q", title="LoRA rank (log scale)", scale=scale, axis=axis)
    return Places(x, dict(at), high - low)


def _make_room(categories: Sequence[str], width: int, has_ranks: bool) -> int:
    """Give the pixels of the categories: as their longest words ask, with room for the ranks."""
    words = [word for category in categories for word in _divide(category)]
    each = max([LETTER * len(word) for word in words], default=0)
    asked = len(categories) * max(90 if width == WIDE else 48, each)
    return min(asked, width - 70 - (width // 3 if has_ranks else 0))


def _divide(category: str) -> list[str]:
    """Divide a label into its lines: a Hub id after its owner."""
    return category.replace("/", "/ ").split()


def _place_categories(categories: Sequence[str], width: int) -> Places:
    at = {category: place for place, category in enumerate(categories)}
    labels = json.dumps([_divide(category) for category in categories])
    axis = alt.Axis(
        values=list(at.values()),
        labelExpr=f"{labels}[datum.value]",
        labelLimit=width / len(categories),
        grid=False,
    )
    scale = alt.Scale(domain=[-0.5, len(at) - 0.5], nice=False, zero=False)
    return Places(alt.X("place:Q", title=None, scale=scale, axis=axis), dict(at), 4 * len(at))


def _place_values(cells: Sequence[Cell], is_share: bool, title: str | None) -> alt.Y:
    """Make the vertical axis; both panels compute the same scale, and the left one is labelled."""
    reach = [v for c in cells for v in (c.value, c.low, c.high, *(s for _, s in c.seeds))]
    known = [value for value in reach if value is not None]
    low, high = (0.0, max(*known, 0.02)) if is_share else (min(known), max(known))
    margin = 0.0 if is_share else 0.04 * (high - low) or 0.01
    axis = alt.Axis(
        labels=title is not None,
        ticks=False,
        domain=False,
        format=("%" if high > 0.05 else ".1%") if is_share else ".2f",
        tickCount=6,
        titleAngle=0,
        titleAlign="left",
        titleAnchor="end",
        titleX=-34,
        titleY=-16,
        titleColor=paint("ink"),
        titleFontSize=13,
    )
    scale = alt.Scale(domain=[low - margin, high + margin], nice=True, zero=is_share)
    return alt.Y("value:Q", title=title, axis=axis, scale=scale)


def _draw_base(base: Cell | None, y: alt.Y, is_share: bool) -> list[alt.Chart]:
    if base is None:
        return []
    value = {"value": base.value, "tip": _tell(base, base.value, is_share)}
    rule = alt.Chart(alt.Data(values=[value])).mark_rule(strokeDash=[5, 4], strokeWidth=1.5)
    return [rule.encode(y, color=alt.value(paint("muted")), description="tip:N")]


def _draw_cells(cells: Sequence[Cell], places: Places, y: alt.Y, is_share: bool) -> list[alt.Chart]:
    """Draw a line through the means of a series, intervals, seeds, and the means on top."""
    means = [
        places.locate(c) | {"value": c.value, "tip": _tell(c, c.value, is_share)} for c in cells
    ]
    bars = [places.locate(c) | {"value": c.low, "high": c.high} for c in cells if c.low is not None]
    seeds = [
        places.locate(c, SEED_SHIFT)
        | {"value": value, "tip": f"{_tell(c, value, is_share)}, {_name_seed(seed)}"}
        for c in cells
        if len(c.seeds) > 1
        for seed, value in c.seeds
    ]
    series = ["task", "twin"]
    scale = alt.Scale(domain=series, range=[paint("task"), paint("twin")])
    colour = alt.Color("series:N", scale=scale, legend=None)
    shapes = alt.Scale(domain=series, range=["circle", "square"])
    shape = alt.Shape("series:N", scale=shapes, legend=None)

    def chart(values: list[Row]) -> alt.Chart:
        return alt.Chart(alt.Data(values=values)).encode(places.x, y, colour)

    drawn = [
        chart(bars).mark_rule(strokeWidth=2, opacity=0.75, aria=False).encode(y2="high:Q"),
        chart(seeds).mark_point(size=22, opacity=0.7, strokeWidth=1.2).encode(description="tip:N"),
        chart(means)
        .mark_point(size=80, filled=True, opacity=1, stroke=paint("paper"), strokeWidth=1)
        .encode(shape, description="tip:N"),
    ]
    if cells and cells[0].rank is not None:
        drawn.insert(0, chart(means).mark_line(strokeWidth=1.5, opacity=0.55, aria=False))
    return drawn


def _name_seed(seed: int | None) -> str:
    return "seed not stated" if seed is None else f"seed {seed}"


def _tell(cell: Cell, value: float, is_share: bool) -> str:
    write = format_percent if is_share else format_loss
    reach = ""
    if value == cell.value and cell.low is not None and cell.high is not None:
        reach = f" ({write(cell.low)} to {write(cell.high)})"
    return f"{cell.place}: {write(value)}{reach}"


def _describe(cells: Sequence[Cell], title: str, is_share: bool) -> str:
    told = dict.fromkeys(_tell(cell, cell.value, is_share) for cell in cells)
    return f"{title}. {'; '.join(told)}."
