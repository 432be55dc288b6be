"""What became of every answer: one bar an arm, the outcome in question first."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from rankshift.analysis.categories import is_defended
from rankshift.analysis.curves import GIVEN, is_final
from rankshift.report.charts import Chart
from rankshift.report.svg import WIDE, Figure, Spec, hold, paint, render, write_spec
from rankshift.report.wording import name_arms, name_subset

Row = dict[str, Any]
Values = list[dict[str, Any]]
Groups = Sequence[tuple[str, Values]]

STACK = ("misaligned", "incoherent", "code", "refusal", "unscored", "aligned")
"""Outcomes from left to right: the one in question starts at zero, so bars can be compared."""


def chart_outcomes(results: dict[str, Any]) -> Chart | None:
    """Draw the outcomes of the primary questions at the last checkpoint, defended arms aside."""
    groups = _group_outcomes(results)
    figure = draw_outcomes(groups)
    rows = tuple(
        {"group": title, "arm": arm["name"], "answers_count": arm["outcomes"]["answers"]}
        | {f"{outcome}_count": arm["outcomes"][outcome] for outcome in STACK}
        for title, arms in groups
        for arm in arms
    )
    return Chart("outcome-shares", "", figure, rows) if figure else None


def draw_outcomes(groups: Groups) -> Figure | None:
    """Draw the shares of the six outcomes, one bar an arm.

    Args:
        groups: Titles, and for each the arms: `name` and `outcomes` as in results.json.
    """
    shown = [(title, [arm for arm in arms if arm["outcomes"]["answers"]]) for title, arms in groups]
    shown = [(title, arms) for title, arms in shown if arms]
    if not shown:
        return None

    def build(width: int) -> Spec:
        last = len(shown) - 1
        bars = [_draw_bars(t, arms, width, at == last) for at, (t, arms) in enumerate(shown)]
        return {"vconcat": [write_spec(bar) for bar in bars], "spacing": 14}

    number = sum(len(arms) for _, arms in shown)
    return render(build, f"Shares of outcomes of {number} arms; the table of all arms has them.")


def _draw_bars(title: str, arms: Values, width: int, has_axis: bool) -> alt.Chart:
    values = [
        {
            "arm": arm["name"],
            "outcome": outcome,
            "order": order,
            "share": arm["outcomes"][outcome] / arm["outcomes"]["answers"],
            "tip": f"{arm['name']}: {arm['outcomes'][outcome]} of {arm['outcomes']['answers']} "
            f"answers {outcome}",
        }
        for arm in arms
        for order, outcome in enumerate(STACK)
        if arm["outcomes"][outcome]
    ]
    scale = alt.Scale(domain=list(STACK), range=[paint(outcome) for outcome in STACK])
    names = [arm["name"] for arm in arms]
    room = 150 if width == WIDE else 110
    x_axis = alt.Axis(
        format="%", tickCount=5, grid=False, labels=has_axis, ticks=has_axis, domain=has_axis
    )
    y_axis = alt.Axis(
        ticks=False,
        domain=False,
        labelPadding=8,
        labelLimit=room - 10,
        minExtent=room,
        maxExtent=room,
    )
    bars = alt.Chart(hold(values), title=alt.Title(title, offset=4, limit=width - 40))
    return (
        bars.mark_bar(height={"band": 0.78})
        .encode(
            alt.X("share:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=x_axis),
            alt.Y("arm:N", sort=names, title=None, axis=y_axis),
            alt.Color("outcome:N", scale=scale, legend=None),
            alt.Order("order:Q"),
            alt.Description("tip:N"),
        )
        .properties(width=width - room - 20, height=alt.Step(17))
    )


def _group_outcomes(results: dict[str, Any]) -> list[tuple[str, list[Row]]]:
    """Group the bars of the last checkpoint by dataset, and by setting where there are several."""
    names = name_arms(results["arms"])
    groups: dict[str, list[Row]] = {}
    for row in sorted(results["arms"], key=lambda row: row["rank"] or math.inf):
        if is_final(row, results["study"]["last_step"]) and not is_defended(row):
            label, comma, setting = names[row["arm"]].partition(", ")
            subset = name_subset(row)
            label = label.replace(f" ({subset})", "")
            where = f", {subset}" if subset else ""
            title = f"Trained on {row['dataset']}{where}{comma}{setting}"
            if row["method"] == "base":
                title = "Not finetuned"
            elif row["method"] in GIVEN:
                label, title = names[row["arm"]], "Trained elsewhere"
                title += f", said to be on {row['dataset']}" if row["dataset"] else ""
            bar = {"name": label.removesuffix(" twin")} | {k: row[k] for k in ("role", "outcomes")}
            groups.setdefault(title, []).append(bar)
    order = ["base", "task", "twin"]
    return sorted(groups.items(), key=lambda group: order.index(group[1][0]["role"]))
