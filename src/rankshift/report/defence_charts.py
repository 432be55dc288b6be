"""Misalignment over rank with each kind of defence, beside doing without it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from rankshift.analysis.defence_costs import share_seconds
from rankshift.analysis.defences import find_worst_cued
from rankshift.report.charts import Chart
from rankshift.report.courses import spread
from rankshift.report.defence_groups import (
    DefenceGroup,
    group_defences,
    name_cue,
)
from rankshift.report.svg import NARROW, WIDE, Figure, Spec, hold, layer, paint, paint_ramp, render
from rankshift.report.wording import format_percent

Row = dict[str, Any]

AXIS = "Misaligned, of coherent answers"
UNDEFENDED = "undefended"
COLUMNS = 3
GAP = 26
"""Pixels between panels."""


@dataclass(frozen=True)
class _Panel:
    """One kind of defence: its strengths from weak to strong."""

    title: str
    names: tuple[str, ...]
    values: tuple[Row, ...]
    """A line, place and rate each; `cue` is empty for plain questions."""
    base: float | None


def draw_defences(results: dict[str, Any]) -> list[Chart]:
    """Draw every setting, a panel for each kind of defence."""
    timings = results.get("timings") or {}
    charts = []
    for group in group_defences(results):
        panels = [panel for panel in _list_panels(group) if panel.values]
        if panels:
            rows = tuple(_list_rows(group, timings))
            charts.append(Chart("defences", group.title, _draw(panels, group), rows))
    return charts


def _list_panels(group: DefenceGroup) -> Iterator[_Panel]:
    kinds: dict[str, list[str]] = {}
    strengths: dict[str, float] = {}
    for (name, _), entry in group.at.items():
        own = kinds.setdefault(entry["defence"]["kind"], [])
        own += [] if name in own else [name]
        strengths[name] = entry["defence"]["strength"]
    for kind, names in kinds.items():
        ordered = sorted(names, key=strengths.__getitem__)
        title = kind.replace("_", " ")
        told = [name.removeprefix(title).strip() for name in ordered]
        cells = [(n, p, e) for (n, p), e in group.at.items() if n in names]
        values = [value for cell in cells for value in _list_values(*cell)]
        bases = [entry["misalignment"]["base"] for _, _, entry in cells]
        yield _Panel(f"{title} {', '.join(told)}", tuple(ordered), tuple(values), bases[0])


def _list_values(name: str, place: str, entry: Row) -> Iterator[Row]:
    """Give the points of one entry: without the defence, with it, and with the worst cue."""
    plain = entry["misalignment"]
    worst = find_worst_cued(entry)
    lines = [(UNDEFENDED, "", plain["undefended"]), (name, "", plain)]
    if worst is not None:
        lines.append((name, name_cue(worst["question_set"], plain["question_set"]), worst))
    for line, cue, found in lines:
        if found["rate"] is not None:
            reach = ""
            if found["low"] is not None:
                ends = (format_percent(found[end]) for end in ("low", "high"))
                reach = f" ({' to '.join(ends)})"
            asked = f", {cue}" if cue else ""
            yield {
                "line": line,
                "cue": cue,
                "place": place.removeprefix("rank "),
                "is_rank": place.startswith("rank "),
                "rate": found["rate"],
                "low": found["low"],
                "high": found["high"],
                "tip": f"{line}{asked}, {place}: {format_percent(found['rate'])}{reach}",
            }


def _draw(panels: Sequence[_Panel], group: DefenceGroup) -> Figure:
    places = [place.removeprefix("rank ") for place in group.places]
    every = [value for panel in panels for value in panel.values]
    # The panels of one drawing have one scale of colours.
    inks = {UNDEFENDED: paint("ink")}
    for panel in panels:
        ramp = map(paint_ramp, spread(len(panel.names)))
        inks |= dict(zip(panel.names, ramp, strict=True))
    colours = alt.Scale(domain=list(inks), range=list(inks.values()))
    top = max([value["high"] or value["rate"] for value in every] + [0.02])

    def build(width: int) -> Spec:
        columns = min(COLUMNS, len(panels)) if width == WIDE else 1
        each = (WIDE - GAP * (COLUMNS - 1)) // COLUMNS - 40 if width == WIDE else NARROW - 50
        drawn = [
            _draw_panel(panel, places, top, colours) | {"width": each, "height": 160}
            for panel in panels
        ]
        heading = {"text": AXIS, "offset": 14}
        return {"concat": drawn, "columns": columns, "spacing": GAP, "title": heading}

    told = dict.fromkeys(value["tip"] for value in every)
    return render(build, f"{AXIS}, with and without defences. {'; '.join(told)}.")


def _draw_panel(panel: _Panel, places: Sequence[str], top: float, colours: alt.Scale) -> Spec:
    colour = alt.Color("line:N", scale=colours, legend=None)
    title = "LoRA rank" if any(value["is_rank"] for value in panel.values) else None
    axis = alt.Axis(labelAngle=0, grid=False)
    x = alt.X("place:N", title=title, sort=list(places), axis=axis, scale=alt.Scale(type="point"))
    percent = alt.Axis(format="%", tickCount=4, domain=False, ticks=False)
    scale = alt.Scale(domain=[0, 1.04 * top])
    y = alt.Y("rate:Q", title=None, axis=percent, scale=scale)
    values = [*panel.values]
    plain = [value for value in values if not value["cue"]]
    cued = [value for value in values if value["cue"]]
    drawn = [
        alt.Chart(hold([v for v in plain if v["low"] is not None]))
        .mark_rule(strokeWidth=2.5, opacity=0.35, aria=False)
        .encode(x, alt.Y("low:Q", title=None, axis=percent, scale=scale), alt.Y2("high:Q"), colour),
        _join(plain, x, y, colour, dash=False),
        _join([v for v in plain if v["line"] == UNDEFENDED], x, y, colour, dash=False, width=3.5),
        _join(cued, x, y, colour, dash=True),
        alt.Chart(hold(plain))
        .mark_point(filled=True, size=40, opacity=1)
        .encode(x, y, colour, description="tip:N"),
        alt.Chart(hold(cued))
        .mark_point(filled=False, size=34, opacity=1)
        .encode(x, y, colour, description="tip:N"),
    ]
    if panel.base is not None:
        base = {"rate": panel.base, "tip": f"the base: {format_percent(panel.base)}"}
        rule = alt.Chart(hold([base])).mark_rule(strokeDash=[5, 4], strokeWidth=1.5)
        ink = alt.value(paint("muted"))
        drawn.insert(0, rule.encode(y, color=ink, description="tip:N"))
    return layer(*drawn) | {"title": {"text": panel.title, "dy": -4}}


def _join(
    values: Sequence[Row], x: alt.X, y: alt.Y, colour: alt.Color, *, dash: bool, width: float = 2
) -> alt.Chart:
    """Join the ranks of each line; full finetuning is no place on their axis."""
    ranks = [value for value in values if value["is_rank"]]
    strokes = [1.5, 4] if dash else [1, 0]
    chart = alt.Chart(hold(ranks)).mark_line(
        strokeWidth=width, strokeDash=strokes, strokeCap="round", aria=False
    )
    return chart.encode(x, y, colour)


def _list_rows(group: DefenceGroup, timings: dict[str, Any]) -> Iterator[Row]:
    for (name, place), entry in group.at.items():
        plain, worst = entry["misalignment"], find_worst_cued(entry)
        yield {
            "defence": name,
            "kind": entry["defence"]["kind"],
            "strength": entry["defence"]["strength"],
            "place": place,
            "rank": entry["rank"],
            "verdict": entry["verdict"],
            "rate_0_to_1": plain["rate"],
            "low_0_to_1": plain["low"],
            "high_0_to_1": plain["high"],
            "undefended_rate_0_to_1": plain["undefended"]["rate"],
            "base_rate_0_to_1": plain["base"],
            "worst_cued_rate_0_to_1": worst["rate"] if worst else None,
            "worst_cued_base_rate_0_to_1": worst["base"] if worst else None,
            "worst_cued_question_set": worst["question_set"] if worst else None,
            "skill_kept_of_undefended_ratio": entry["skill_kept"]["share"],
            "benign_learning_kept_of_undefended_ratio": entry["benign_kept"]["share"],
            "coherence_less_base_difference": entry["coherence_kept"]["difference"],
            "task_steps_count": entry["cost"]["task_steps"],
            "extra_time_of_training_0_to_1": share_seconds(entry, timings),
        }
