"""The chart over rank: means, intervals and seeds; full finetuning beside, the base as a line."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from rankshift.report.cells import Cell, Missing
from rankshift.report.panels import Panel
from rankshift.report.svg import NARROW, WIDE, Figure, Spec, hold, layer, paint, render

Row = dict[str, Any]
HEIGHT = 300
SHIFTS = {"task": 0.0, "twin": 0.012}
"""Twins are drawn this share of the axis to the right, so that neither hides the other."""

LETTER = 7
"""Pixels of a letter of an axis label, about."""

SEED_SHIFT = -0.01
"""Single seeds are drawn this share of the axis beside their mean."""

CROSS = "M-1,-1L1,1M1,-1L-1,1"
BAR = "M-1,0L1,0"


@dataclass(frozen=True)
class Places:
    """A horizontal axis: where ranks or categories stand on it."""

    x: alt.X
    at: dict[Any, float]
    """Rank or category to its place."""
    length: float
    """What the shifts are shares of, in the unit of the places."""

    def locate(self, cell: Cell | Missing, shift: float = 0.0) -> dict[str, Any]:
        """Place a mark of a cell."""
        place = self.at[cell.category or cell.rank]
        shift += SHIFTS[cell.series]
        return {"series": cell.series, "place": place + shift * self.length}


def draw_over_rank(panel: Panel) -> Figure | None:
    """Draw means, intervals and seeds over rank; None where nothing trained has a value."""
    if not panel.trained:
        return None
    return render(lambda width: draw_panel(panel, width, HEIGHT), panel.description)


def draw_side_by_side(panels: Sequence[Panel], columns: int, title: str) -> Figure | None:
    """Draw several panels on one vertical scale, each under its title; on a phone in one column."""
    shown = [panel for panel in panels if panel.trained]
    if not shown:
        return None

    def build(width: int) -> Spec:
        number = columns if width == WIDE else 1
        each = (WIDE - 28 * (number - 1)) // number + 20 if width == WIDE else NARROW
        drawn = [draw_panel(panel, each, 220) for panel in shown]
        heading = {"text": title, "offset": 14}
        return {"concat": drawn, "columns": number, "spacing": 28, "title": heading}

    return render(build, " ".join([f"{title}.", *(panel.description for panel in shown)]))


def draw_panel(panel: Panel, width: int, height: int) -> Spec:
    """Draw the ranks, and the categories beside them on the same scale."""
    ranks, categories = panel.ranks, panel.categories
    beside = _make_room(categories, width, bool(ranks))
    parts: list[Spec] = []
    if ranks:
        y = _place_values(panel, panel.title)
        part = _draw_part(panel, _place_ranks(ranks), y, lambda cell: cell.rank is not None)
        parts.append(part | {"width": width - beside - 70, "height": height})
    if categories:
        y = _place_values(panel, None if ranks else panel.title)
        part = _draw_part(panel, _place_categories(categories, beside), y, lambda c: c.category)
        parts.append(part | {"width": beside, "height": height})
    return parts[0] if len(parts) == 1 else {"hconcat": parts, "spacing": 12}


def _draw_part(panel: Panel, places: Places, y: alt.Y, is_here: Any) -> Spec:
    cells = [cell for cell in panel.trained if is_here(cell)]
    missing = [lack for lack in panel.missing if is_here(lack)]
    marks = _draw_missing(panel, missing, places, y) + _draw_cells(panel, cells, places, y)
    resolve = {"scale": {"shape": "independent"}}  # what is missing has shapes of its own
    return layer(*_draw_base(panel, y), *marks) | {"resolve": resolve}


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


def _find_reach(panel: Panel) -> tuple[float, float]:
    """Give the lowest and the highest value that is drawn; shares begin at zero."""
    cells = panel.scaled_by or panel.cells
    reach = [
        v
        for c in cells
        for v in (c.value, c.low, c.high, *(c.outer or ()), *(s for _, s in c.seeds))
    ]
    known = [value for value in reach if value is not None]
    if panel.kind == "share":
        return 0.0, max(*known, 0.02)
    if panel.kind == "excess":
        return min(*known, -0.01), max(*known, 0.01)
    return min(known), max(known)


def _place_values(panel: Panel, title: str | None) -> alt.Y:
    """Make the vertical axis; both parts compute the same scale, and the left one is labelled."""
    low, high = _find_reach(panel)
    margin = 0.0 if panel.kind == "share" else 0.04 * (high - low) or 0.01
    below = 0.08 * high if panel.has_strip else 0.0
    axis = alt.Axis(
        labels=title is not None,
        ticks=False,
        domain=False,
        format=".2f" if panel.kind == "loss" else ("%" if high - low > 0.05 else ".1%"),
        tickCount=6,
        titleAngle=0,
        titleAlign="left",
        titleAnchor="end",
        titleX=-34,
        titleY=-16,
        titleColor=paint("ink"),
        titleFontSize=13,
    )
    domain = [low - margin - below, high + margin]
    scale = alt.Scale(domain=domain, nice=not below, zero=panel.kind == "share" and not below)
    return alt.Y("value:Q", title=title, axis=axis, scale=scale)


def _draw_base(panel: Panel, y: alt.Y) -> list[alt.Chart]:
    rules = []
    if panel.kind == "excess":
        zero = alt.Chart(hold([{"value": 0.0}])).mark_rule(strokeWidth=1, aria=False)
        rules.append(zero.encode(y, color=alt.value(paint("muted"))))
    if panel.base is not None:
        value = {"value": panel.base.value, "tip": panel.tell(panel.base, panel.base.value)}
        rule = alt.Chart(hold([value])).mark_rule(strokeDash=[5, 4], strokeWidth=1.5)
        rules.append(rule.encode(y, color=alt.value(paint("muted")), description="tip:N"))
    return rules


def _draw_missing(
    panel: Panel, missing: Sequence[Missing], places: Places, y: alt.Y
) -> list[alt.Chart]:
    """Mark arms without a value under zero: a cross where censored, a dash where refused."""
    if not missing or not panel.has_strip:
        return []
    below = -0.04 * _find_reach(panel)[1]
    values = [
        places.locate(m, SHIFTS[m.series]) | {"value": below, "kind": m.kind, "tip": m.tip}
        for m in missing
    ]
    shapes = alt.Scale(domain=["censored", "refused"], range=[CROSS, BAR])
    chart = alt.Chart(hold(values)).mark_point(size=28, strokeWidth=2, opacity=1)
    return [
        chart.encode(
            places.x,
            y,
            _colour(),
            alt.Shape("kind:N", scale=shapes, legend=None),
            description="tip:N",
        )
    ]


def _colour() -> alt.Color:
    scale = alt.Scale(domain=["task", "twin"], range=[paint("task"), paint("twin")])
    return alt.Color("series:N", scale=scale, legend=None)


def _draw_cells(panel: Panel, cells: Sequence[Cell], places: Places, y: alt.Y) -> list[alt.Chart]:
    """Draw a line through the means of a series, intervals, seeds, and the means on top."""
    means = [places.locate(c) | {"value": c.value, "tip": panel.tell(c, c.value)} for c in cells]
    bars = [places.locate(c) | {"value": c.low, "high": c.high} for c in cells if c.low is not None]
    outer = [places.locate(c) | {"value": c.outer[0], "high": c.outer[1]} for c in cells if c.outer]
    seeds = [
        places.locate(c, SEED_SHIFT)
        | {"value": value, "tip": f"{panel.tell(c, value)}, {_name_seed(seed)}"}
        for c in cells
        if len(c.seeds) > 1
        for seed, value in c.seeds
    ]
    shapes = alt.Scale(domain=["task", "twin"], range=["circle", "square"])
    shape = alt.Shape("series:N", scale=shapes, legend=None)

    def chart(values: list[Row]) -> alt.Chart:
        return alt.Chart(hold(values)).encode(places.x, y, _colour())

    ends = [value | {"value": value[end]} for value in outer for end in ("value", "high")]
    drawn = [
        chart(outer).mark_rule(strokeWidth=1, opacity=0.8, aria=False).encode(y2="high:Q"),
        chart(ends).mark_tick(orient="horizontal", thickness=1, size=9, opacity=0.8, aria=False),
        chart(bars).mark_rule(strokeWidth=3.5, opacity=0.7, aria=False).encode(y2="high:Q"),
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
