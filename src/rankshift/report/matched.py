"""Persona at equal skill: a panel for each match value, and the arms that have no place in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from rankshift.analysis.categories import is_defended
from rankshift.analysis.curves import GIVEN
from rankshift.report.cells import list_missing, list_share_cells
from rankshift.report.charts import Chart
from rankshift.report.curve_charts import list_share_rows, name_asked, pair_twins
from rankshift.report.panels import Panel
from rankshift.report.rank_figures import draw_side_by_side
from rankshift.report.svg import Figure, Spec, hold, layer, render
from rankshift.report.traits import colour_by_rank
from rankshift.report.wording import (
    format_loss,
    format_percent,
    name_arms,
    name_match,
    name_setting,
)

Row = dict[str, Any]

AXIS = "Misaligned, of coherent answers"

COLUMNS = 3
"""Panels beside each other on a desktop."""


@dataclass(frozen=True)
class Lacking:
    """An arm that has no value at a match, and why."""

    match: str
    arm: str
    kind: str
    why: str


def draw_matched(results: dict[str, Any]) -> list[Chart]:
    """Draw each setting at its match values, side by side on one scale."""
    charts = []
    for pairs in _group_matches(results):
        cells = [[cell for curve in pair for cell in list_share_cells(curve)] for pair in pairs]
        together = [cell for each in cells for cell in each]
        missing = [[lack for curve in pair for lack in list_missing(curve)] for pair in pairs]
        panels = [
            Panel(
                cells=each,
                title=f"At {name_match(pair[0]['match'])}",
                kind="share",
                missing=lost,
                scaled_by=together,
                has_strip=any(missing),
            )
            for pair, each, lost in zip(pairs, cells, missing, strict=True)
        ]
        figure = draw_side_by_side(panels, min(COLUMNS, len(panels)), AXIS)
        rows = tuple(
            {"match": name_match(curve["match"])} | row
            for pair in pairs
            for curve in pair
            for row in list_share_rows(curve)
        )
        title, curves = name_asked(pairs[0][0]), tuple(curve for pair in pairs for curve in pair)
        charts += [Chart("at-equal-skill", title, figure, rows, curves)] if figure else []
    return charts


def list_lacking(results: dict[str, Any]) -> list[Lacking]:
    """List every arm that a matched curve censors or refuses, once for each match."""
    names = name_arms(results["arms"])
    found: dict[Lacking, None] = {}
    for curve in results["matched_curves"]:
        for point in (*curve["points"], *curve["categories"]):
            for kind in ("censored", "refused"):
                for arm in point.get(kind) or []:
                    name = names.get(arm["arm"]) or str(arm["arm"])
                    found[Lacking(name_match(curve["match"]), name, kind, arm["why"])] = None
    return list(found)


def draw_tradeoff(results: dict[str, Any]) -> Chart | None:
    """Draw misalignment against held-out loss, every undefended task arm at every checkpoint."""
    names = name_arms(results["arms"])
    rows = [
        _describe_row(row, names)
        for row in results["arms"]
        if row["role"] in ("base", "task")
        and row["task_held_out_loss"] is not None
        and row.get("source_arm") is None
        and not is_defended(row)
        and row["rates"]["misaligned_given_coherent"]["rate"] is not None
    ]
    trained = [row for row in rows if row["method"] not in ("base", *GIVEN)]
    if len({row["held_out_loss_nats_per_token"] for row in trained}) < 2:
        return None
    figure = _draw_tradeoff(rows)
    return Chart("persona-against-skill", "", figure, tuple(rows))


def _group_matches(results: dict[str, Any]) -> Iterator[list[tuple[Row, ...]]]:
    """Group matched curves that differ in the match value alone; each with its twin."""
    groups: dict[str, list[tuple[Row, ...]]] = {}
    for pair in pair_twins(results["matched_curves"]):
        if pair[0]["role"] == "task":
            groups.setdefault(f"{name_asked(pair[0])}; {name_setting(pair[0])}", []).append(pair)
    yield from groups.values()


def _describe_row(row: Row, names: dict[str, str]) -> Row:
    rate = row["rates"]["misaligned_given_coherent"]
    return {
        "arm": row["arm"],
        "name": names[row["arm"]],
        "method": row["method"],
        "rank": row["rank"],
        "seed": row["seed"],
        "optimizer_step": row["step"],
        "held_out_loss_nats_per_token": row["task_held_out_loss"],
        "misaligned_given_coherent_0_to_1": rate["rate"],
        "events_count": rate["events"],
        "counted_answers_count": rate["eligible"],
    }


def _draw_tradeoff(rows: Sequence[Row]) -> Figure:
    values = [
        {
            "arm": row["arm"],
            "step": row["optimizer_step"],
            "loss": row["held_out_loss_nats_per_token"],
            "rate": row["misaligned_given_coherent_0_to_1"],
            "group": str(row["rank"] or row["method"]),
            "tip": f"{row['name']} at step {row['optimizer_step']}: loss "
            f"{format_loss(row['held_out_loss_nats_per_token'])}, "
            f"{format_percent(row['misaligned_given_coherent_0_to_1'])}",
        }
        for row in rows
    ]
    groups, inks = colour_by_rank(rows)

    def build(width: int) -> Spec:
        loss = alt.Scale(reverse=True, zero=False)
        title = "held-out loss, nats a token (more skill to the right)"
        x = alt.X("loss:Q", title=title, scale=loss, axis=alt.Axis(grid=False, tickCount=6))
        y = alt.Y("rate:Q", title=None, axis=alt.Axis(format="%", tickCount=6, domain=False))
        colour = alt.Color("group:N", scale=alt.Scale(domain=groups, range=inks), legend=None)
        heading = alt.Title(AXIS, dy=-6)
        chart = alt.Chart(hold(values), title=heading).encode(x, y, colour)
        paths = chart.mark_line(strokeWidth=1, opacity=0.35, aria=False)
        dots = chart.mark_point(filled=True, size=44, opacity=0.85)
        lines, marks = (
            paths.encode(detail="arm:N", order="step:Q"),
            dots.encode(description="tip:N"),
        )
        return layer(lines, marks) | {"width": width - 60, "height": 280}

    return render(
        build,
        "Misaligned share of coherent answers against held-out loss, "
        f"{len(rows)} measurements of {len({row['arm'] for row in rows})} arms; "
        "the table beside it has every one.",
    )
