"""The charts of an arm's course and answers: loss over steps, and shares of outcomes."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from rankshift.report.rank_figures import HEIGHT
from rankshift.report.svg import WIDE, Figure, paint, paint_ramp, render
from rankshift.report.wording import format_loss, name_full

Row = dict[str, Any]
Values = list[dict[str, Any]]

STACK = ("misaligned", "incoherent", "code", "refusal", "unscored", "aligned")
"""Outcomes from left to right: the one in question starts at zero, so bars can be compared."""


def draw_over_steps(curve: Row) -> Figure | None:
    """Draw the mean held-out loss over steps, a line for each rank; all start as the base."""
    lines = [(f"rank {p['rank']}", p["steps"]) for p in curve["points"] if p["steps"]]
    full = [c for c in curve["categories"] if c["category"] == "full" and c["steps"]]
    base = [s for c in curve["categories"] if c["category"] == "base" for s in c["steps"]]
    if not lines and not full:
        return None
    values = [
        {"line": name, "step": step["step"], "loss": step["loss"], "tip": _tell_loss(name, step)}
        for name, steps in (*lines, *((name_full(c, full), c["steps"]) for c in full))
        for step in (*base, *steps)
    ]
    names = [*dict.fromkeys(value["line"] for value in values)]
    colours = [paint_ramp(place) for place in spread(len(lines))] + [paint("ink")] * len(full)
    colour = alt.Color("line:N", scale=alt.Scale(domain=names, range=colours), legend=None)
    dashes = [[1, 0]] * len(lines) + [[5, 4]] * len(full)
    dash = alt.StrokeDash("line:N", scale=alt.Scale(domain=names, range=dashes), legend=None)

    def build(width: int) -> alt.TopLevelMixin:
        steps = sorted({value["step"] for value in values})
        x = alt.X("step:Q", title="optimizer steps", axis=alt.Axis(values=steps, grid=False))
        title = alt.Title("Held-out loss, nats a token", dy=-6)
        y = alt.Y("loss:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
        chart = alt.Chart(alt.Data(values=values), title=title).encode(x, y, colour)
        line = chart.mark_line(strokeWidth=2, aria=False).encode(dash)
        points = chart.mark_point(filled=True, size=36, opacity=1).encode(description="tip:N")
        return (line + points).properties(width=width - 60, height=HEIGHT)

    ends = "; ".join(f"{v['tip']}" for v in values if v["step"] == max(v["step"] for v in values))
    return render(build, f"Held-out loss over steps. {ends}.")


def draw_outcomes(groups: Sequence[tuple[str, Values]]) -> Figure | None:
    """Draw the shares of the six outcomes, one bar an arm.

    Args:
        groups: Titles, and for each the arms: `name` and `outcomes` as in results.json.
    """
    shown = [(title, [arm for arm in arms if arm["outcomes"]["answers"]]) for title, arms in groups]
    shown = [(title, arms) for title, arms in shown if arms]
    if not shown:
        return None

    def build(width: int) -> alt.TopLevelMixin:
        last = len(shown) - 1
        bars = [_draw_bars(t, arms, width, at == last) for at, (t, arms) in enumerate(shown)]
        return alt.vconcat(*bars, spacing=14)

    number = sum(len(arms) for _, arms in shown)
    return render(build, f"Shares of outcomes of {number} arms; the table of all arms has them.")


def spread(number: int) -> list[float]:
    """Spread places evenly over 0..1."""
    return [at / max(number - 1, 1) for at in range(number)]


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
    bars = alt.Chart(alt.Data(values=values), title=alt.Title(title, offset=4, limit=width - 40))
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


def _tell_loss(name: str, step: Row) -> str:
    return f"{name} at step {step['step']}: {format_loss(step['loss'])}"


def _tell_outcomes(outcomes: Row) -> str:
    return ", ".join(f"{outcomes[o]} {o}" for o in STACK if outcomes[o])
