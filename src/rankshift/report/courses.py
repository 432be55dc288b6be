"""The course of training: held-out loss and training loss over steps, and their legends."""

from collections.abc import Iterator, Sequence
from typing import Any

import altair as alt

from rankshift.analysis.categories import is_defended
from rankshift.analysis.curves import GIVEN
from rankshift.report.charts import Chart
from rankshift.report.curve_charts import list_loss_rows, list_task_losses
from rankshift.report.rank_figures import HEIGHT
from rankshift.report.svg import Figure, Spec, hold, layer, paint, paint_ramp, render, write_spec
from rankshift.report.wording import format_loss, name_arms, name_full, name_setting

Row = dict[str, Any]


def draw_courses(results: dict[str, Any]) -> list[Chart]:
    """Draw the mean held-out loss over steps for each setting of the task's arms."""
    return [
        Chart("held-out-loss-over-steps", name_setting(curve), figure, rows, (curve,))
        for curve in list_task_losses(results)
        if curve["role"] == "task" and not curve["given"] and (figure := draw_over_steps(curve))
        for rows in [tuple(list_loss_rows(curve))]
    ]


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

    def build(width: int) -> Spec:
        steps = sorted({value["step"] for value in values})
        chart = _start(values, "Held-out loss, nats a token", colour, steps)
        line = chart.mark_line(strokeWidth=2, aria=False).encode(dash)
        points = chart.mark_point(filled=True, size=36, opacity=1).encode(description="tip:N")
        return layer(line, points) | {"width": width - 60, "height": HEIGHT}

    ends = "; ".join(f"{v['tip']}" for v in values if v["step"] == max(v["step"] for v in values))
    return render(build, f"Held-out loss over steps. {ends}.")


def draw_training(results: dict[str, Any]) -> list[Chart]:
    """Draw the training loss of every undefended arm, a chart for each dataset."""
    rows = {
        row["arm"]: row
        for row in results["arms"]
        if row["method"] not in ("base", *GIVEN) and not is_defended(row)
    }
    names = name_arms(results["arms"])
    groups: dict[str, list[Row]] = {}
    for course in results.get("training_curves") or []:
        row = rows.get(course["arm"])
        if row is not None and course["steps"]:
            groups.setdefault(row["dataset"], []).append(
                course | {"name": names[course["arm"]]} | {k: row[k] for k in ("rank", "seed")}
            )
    return [
        Chart(
            "training-loss",
            f"Trained on {dataset}",
            _draw_training(courses),
            tuple(_list_training_rows(courses)),
        )
        for dataset, courses in groups.items()
    ]


def list_ranks(charts: Sequence[Chart]) -> list[int]:
    """List the ranks that a chart's lines may have, for its legend."""
    return sorted({row["rank"] for chart in charts for row in chart.rows if row["rank"]})


def spread(number: int) -> list[float]:
    """Spread places evenly over 0..1."""
    return [at / max(number - 1, 1) for at in range(number)]


def _draw_training(courses: Sequence[Row]) -> Figure:
    ranks = sorted({course["rank"] for course in courses if course["rank"]})
    inks = dict(zip(ranks, map(paint_ramp, spread(len(ranks))), strict=True))
    inks |= {None: paint("ink")}
    names = [course["name"] for course in courses]
    scale = alt.Scale(domain=names, range=[inks[course["rank"]] for course in courses])
    colour = alt.Color("line:N", scale=scale, legend=None)
    values = [
        {"line": course["name"], "step": step, "loss": loss}
        for course in courses
        for step, loss in zip(course["steps"], course["losses"], strict=True)
        if loss is not None
    ]

    def build(width: int) -> Spec:
        chart = _start(values, "Training loss, nats a token", colour, None)
        opacity = 0.75 if len(courses) < 20 else 0.45
        line = chart.mark_line(strokeWidth=1.2, opacity=opacity, aria=False)
        return write_spec(line.properties(width=width - 60, height=HEIGHT))

    known = [value["loss"] for value in values]
    told = f"from {format_loss(max(known))} to {format_loss(min(known))} nats" if known else "none"
    return render(build, f"Training loss over steps of {len(courses)} arms, {told}.")


def _start(values: list[Row], title: str, colour: alt.Color, steps: list[int] | None) -> alt.Chart:
    ticks = alt.Axis(grid=False) if steps is None else alt.Axis(values=steps, grid=False)
    x = alt.X("step:Q", title="optimizer steps", axis=ticks)
    y = alt.Y("loss:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
    heading = alt.Title(title, dy=-6)
    return alt.Chart(hold(values), title=heading).encode(x, y, colour)


def _list_training_rows(courses: Sequence[Row]) -> Iterator[Row]:
    for course in courses:
        for step, loss in zip(course["steps"], course["losses"], strict=True):
            yield {
                "arm": course["arm"],
                "name": course["name"],
                "rank": course["rank"],
                "seed": course["seed"],
                "optimizer_step": step,
                "training_loss_nats_per_token": loss,
            }


def _tell_loss(name: str, step: Row) -> str:
    return f"{name} at step {step['step']}: {format_loss(step['loss'])}"
