"""What the page says of forecasts: what was foretold of each arm beside what became of it."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import altair as alt

from rankshift.report.charts import Chart
from rankshift.report.rank_figures import HEIGHT
from rankshift.report.svg import Figure, Spec, hold, layer, paint, paint_ramp, render
from rankshift.report.traits import colour_by_rank
from rankshift.report.wording import format_percent, name_arms

Row = dict[str, Any]


def name_time(share: float | None) -> str:
    """Say when a forecast was possible."""
    return "before training" if share is None else f"after {share * 100:g}% of the steps"


def tell_foretold(results: dict[str, Any]) -> tuple[str, ...]:
    """Say, for each time, how far forecasts were from what happened."""
    groups: dict[float | None, list[Row]] = {}
    for one in results.get("foretold") or ():
        groups.setdefault(one["share"], []).append(one)
    return tuple(
        f"Foretold {name_time(share)}: {format_percent(fmean(o['foretold'] for o in own))} on "
        f"average, and {format_percent(fmean(o['rate'] for o in own))} happened; "
        f"{sum(o['low'] <= o['rate'] <= o['high'] for o in own)} of {len(own)} arms lie in their "
        "90% interval."
        for share, own in groups.items()
    )


def draw_foretold(results: dict[str, Any]) -> list[Chart]:
    """Draw what happened over what was foretold, a chart for each time."""
    names = name_arms(results["arms"])
    groups: dict[float | None, list[Row]] = {}
    for one in results.get("foretold") or ():
        row = {
            "arm": one["arm"],
            "name": names[one["arm"]],
            "method": "lora",
            "rank": one["rank"],
            "u": one["u"],
            "seed": one["seed"],
            "share_of_steps_0_to_1": one["share"],
            "foretold_0_to_1": one["foretold"],
            "low_0_to_1": one["low"],
            "high_0_to_1": one["high"],
            "misaligned_given_coherent_0_to_1": one["rate"],
        }
        groups.setdefault(one["share"], []).append(row)
    return [
        Chart("foretold", f"Foretold {name_time(share)}", _draw(rows), tuple(rows))
        for share, rows in groups.items()
    ]


def _draw(rows: Sequence[Row]) -> Figure:
    values = [
        {
            "foretold": row["foretold_0_to_1"],
            "low": row["low_0_to_1"],
            "high": row["high_0_to_1"],
            "rate": row["misaligned_given_coherent_0_to_1"],
            "group": str(row["rank"]),
            "tip": f"{row['name']}: foretold {format_percent(row['foretold_0_to_1'])} "
            f"({format_percent(row['low_0_to_1'])} to {format_percent(row['high_0_to_1'])}), "
            f"happened {format_percent(row['misaligned_given_coherent_0_to_1'])}",
        }
        for row in rows
    ]
    groups, inks = colour_by_rank(rows)
    scale = alt.Scale(domain=groups, range=inks or [paint_ramp(0)])
    colour = alt.Color("group:N", scale=scale, legend=None)
    whole = alt.Scale(domain=[0, 1])

    def build(width: int) -> Spec:
        axis = alt.Axis(format="%", tickCount=5)
        x = alt.X("foretold:Q", title="foretold", axis=axis, scale=whole)
        y = alt.Y("rate:Q", title=None, axis=axis, scale=whole)
        heading = alt.Title("Misaligned, of coherent answers, at the end", dy=-6)
        chart = alt.Chart(hold(values), title=heading)
        reach = chart.mark_rule(strokeWidth=1, opacity=0.35, aria=False).encode(
            alt.X("low:Q", title="foretold", scale=whole), alt.X2("high:Q"), y, colour
        )
        dots = chart.mark_point(filled=True, size=52, opacity=0.85)
        ends = [{"foretold": 0, "rate": 0}, {"foretold": 1, "rate": 1}]
        even = alt.Chart(hold(ends)).mark_line(
            strokeDash=[4, 3], strokeWidth=1, color=paint("muted"), aria=False
        )
        drawn = layer(even.encode(x, y), reach, dots.encode(x, y, colour, description="tip:N"))
        return drawn | {"width": width - 60, "height": HEIGHT}

    return render(build, "; ".join(value["tip"] for value in values) + ".")
