"""What varies with rank, against misalignment: step size, the update's norm, A's movement."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from rankshift.analysis.categories import is_defended
from rankshift.analysis.curves import GIVEN, is_final
from rankshift.report.charts import Chart
from rankshift.report.courses import spread
from rankshift.report.svg import (
    NARROW,
    WIDE,
    Figure,
    Spec,
    hold,
    paint,
    paint_ramp,
    render,
    write_spec,
)
from rankshift.report.wording import format_number, format_percent, name_arms

Row = dict[str, Any]

MARGIN = 1.25
"""A logarithmic axis ends this factor beyond the outermost dots."""


@dataclass(frozen=True)
class Trait:
    """Something of an arm that may stand behind its rank."""

    column: str
    """Its name in the table, with the unit."""
    title: str
    read: Callable[[Row], float | str | None]
    is_logarithmic: bool = True


def _read_update(key: str) -> Callable[[Row], float | None]:
    return lambda row: (row.get("update") or {}).get(key)


TRAITS = (
    Trait("u", "u = scale x rank x learning rate", lambda row: row["u"]),
    Trait("learning_rate", "learning rate", lambda row: row["learning_rate"]),
    Trait("scaling", "scaling", lambda row: row["scaling"]),
    Trait("update_norm_frobenius", "norm of the update", _read_update("norm")),
    Trait("a_movement_ratio", "A's movement, of its start", _read_update("a_movement"), False),
    Trait("update_effective_rank", "effective rank of the update", _read_update("effective_rank")),
    Trait("update_stable_rank", "stable rank of the update", _read_update("stable_rank")),
    Trait("kl_nats_per_token", "KL from the base, unrelated", lambda row: row.get("kl")),
)


def draw_traits(results: dict[str, Any]) -> Chart | None:
    """Draw every trait that varies among the task's undefended arms against their misalignment."""
    rows = [
        row
        for row in results["arms"]
        if row["role"] == "task"
        and row["method"] not in GIVEN
        and row.get("source_arm") is None
        and not is_defended(row)
        and is_final(row, results["study"]["last_step"])
        and row["rates"]["misaligned_given_coherent"]["rate"] is not None
    ]
    adapters = [row for row in rows if row["rank"]] or rows  # full finetuning differs in any case
    varying = [trait for trait in TRAITS if len({trait.read(r) for r in adapters} - {None}) > 1]
    if not varying:
        return None
    names = name_arms(results["arms"])
    table = tuple(
        {"arm": row["arm"], "name": names[row["arm"]], "rank": row["rank"], "seed": row["seed"]}
        | {"method": row["method"]}
        | {trait.column: trait.read(row) for trait in varying}
        | {"misaligned_given_coherent_0_to_1": row["rates"]["misaligned_given_coherent"]["rate"]}
        for row in rows
    )
    return Chart("what-varies-with-rank", "", _draw(table, varying), table)


def colour_by_rank(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Give the groups of dots, ranks first, and a colour for each: the ramp, then the ink."""
    ranks = sorted({row["rank"] for row in rows if row["rank"]})
    others = sorted({row["method"] for row in rows if not row["rank"]})
    inks = [paint_ramp(place) for place in spread(len(ranks))]
    others_inks = [paint("muted") if name == "base" else paint("ink") for name in others]
    return [str(rank) for rank in ranks] + others, inks + others_inks


def _draw(rows: Sequence[Row], traits: Sequence[Trait]) -> Figure:
    def build(width: int) -> Spec:
        columns = min(3, len(traits)) if width == WIDE else 1
        each = (WIDE - 26 * (columns - 1)) // columns - 40 if width == WIDE else NARROW - 40
        panels = [write_spec(_draw_trait(rows, trait, each)) for trait in traits]
        heading = {"text": "Misaligned, of coherent answers", "offset": 14}
        return {"concat": panels, "columns": columns, "spacing": 26, "title": heading}

    told = ", ".join(trait.title for trait in traits)
    return render(
        build, f"Misaligned share of coherent answers of {len(rows)} arms against {told}."
    )


def _draw_trait(rows: Sequence[Row], trait: Trait, width: int) -> alt.Chart:
    values = [
        {
            "x": row[trait.column],
            "rate": row["misaligned_given_coherent_0_to_1"],
            "group": str(row["rank"] or row["method"]),
            "tip": f"{row['name']}: {trait.title} {_write(row[trait.column])}, "
            f"{format_percent(row['misaligned_given_coherent_0_to_1'])}",
        }
        for row in rows
        if row[trait.column] is not None
    ]
    groups, inks = colour_by_rank(rows)
    top = max(row["misaligned_given_coherent_0_to_1"] for row in rows)
    y_axis = alt.Axis(format="%", tickCount=4, domain=False, ticks=False)
    y = alt.Y("rate:Q", title=None, axis=y_axis, scale=alt.Scale(domain=[0, max(1.05 * top, 0.02)]))
    colour = alt.Color("group:N", scale=alt.Scale(domain=groups, range=inks), legend=None)
    chart = alt.Chart(hold(values), title=alt.Title(trait.title, dy=-4))
    dots = chart.mark_point(filled=True, size=44, opacity=0.8)
    return dots.encode(_place(values, trait), y, colour, description="tip:N").properties(
        width=width, height=150
    )


def _place(values: Sequence[Row], trait: Trait) -> alt.X:
    if any(isinstance(value["x"], str) for value in values):
        return alt.X("x:N", title=None, axis=alt.Axis(labelAngle=0, labelLimit=110))
    is_positive = all(value["x"] > 0 for value in values)
    if not (trait.is_logarithmic and is_positive):
        axis = alt.Axis(grid=False, tickCount=4)
        return alt.X("x:Q", title=None, axis=axis, scale=alt.Scale(zero=False))
    low, high = min(value["x"] for value in values), max(value["x"] for value in values)
    scale = alt.Scale(type="log", domain=[low / MARGIN, high * MARGIN], nice=False)
    axis = alt.Axis(grid=False, values=list_ticks(low / MARGIN, high * MARGIN), format="~g")
    return alt.X("x:Q", title=None, axis=axis, scale=scale)


def list_ticks(low: float, high: float) -> list[float]:
    """List round numbers on a logarithmic axis: powers of ten if there are two, else 1, 2, 5."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    tens = [10.0**power for power in powers if low <= 10.0**power <= high]
    finer = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    return tens if len(tens) > 1 else [tick for tick in finer if low <= tick <= high]


def _write(value: float | str) -> str:
    return value if isinstance(value, str) else format_number(value)
