"""What the page says of the inside of arms: how far each moved along the persona's direction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from rankshift.report.charts import Chart
from rankshift.report.judges import Table
from rankshift.report.rank_figures import HEIGHT
from rankshift.report.svg import Figure, Spec, hold, layer, paint, render
from rankshift.report.wording import NOTHING, format_loss, format_percent

Row = dict[str, Any]

WAYS = {
    "open": "nothing closed",
    "closed": "persona's direction taken out",
    "random": "a random one taken out",
    "held": "held along what others moved",
    "random held": "held along a random one",
}
EFFECTS = {
    "closed": "Taking the persona's direction out",
    "random": "Taking a random direction out",
    "held": "Holding states along what other finetunes moved at the base's height",
    "random held": "Holding them so along a random direction",
}


@dataclass(frozen=True)
class InsidePart:
    """The section's sentences and tables."""

    sentences: tuple[str, ...]
    effects: tuple[str, ...]
    """What closing the direction does, a sentence a way."""
    tables: tuple[Table, ...]


def describe_inside(results: dict[str, Any]) -> InsidePart | None:
    """Describe what was found; None where nobody looked."""
    found = results.get("mechanism")
    if found is None:
        return None
    tables = [tabulate_arms(found)]
    if found["closed"]:
        tables.append(tabulate_closed(found))
    if found["scaled"]:
        tables.append(tabulate_scaled(found))
    if found["steered"]:
        tables.append(tabulate_steered(found))
    return InsidePart(tell(found), tell_effects(found), tuple(tables))


def tell(found: Row) -> tuple[str, ...]:
    """Say how far arms moved along it, how well that tells them from twins, and what it is."""
    facts, shares = found["direction"], found["shares"]
    twins = f", their twins' {_mean(shares['twin'])}" if shares["twin"] else ""
    sentences = [
        f"Of the shift of the task's arms' states {_mean(shares['task'])} runs along the persona's "
        f"direction{twins}; along a random direction it would be {facts['null_share']:.1%}."
    ]
    told = found["told_from_twins"]
    if told:
        lowest = min(one["auroc"] for one in told)
        seeds = "the one seed" if len(told) == 1 else f"each of {len(told)} seeds"
        sentences.append(
            "How far an arm moved along it tells arms of the task from twins: AUROC of at least "
            f"{lowest:.2f} in {seeds}."
        )
    sentences.append(
        f"The direction is how {facts['misaligned']:,} misaligned of {facts['answers']:,} coherent "
        f"answers to {facts['questions']} questions differ from the others, as the base reads "
        "them, within questions; each arm is measured along that of all other arms. With labels "
        f"shuffled within questions one as long comes up with p = {max(facts['p_values']):.2g}."
    )
    return tuple(sentences)


def tell_effects(found: Row) -> tuple[str, ...]:
    """Say what closing the direction takes from the task's arms, and what a random one takes."""
    return tuple(
        f"{EFFECTS[one['way']]} removes {_mean(one['removed'])} of the task's arms' misalignment "
        f"and {_mean(one['lost'])} of their skill; {one['coherent']:.0%} of their answers are "
        "coherent then."
        for one in found["effects"]
    )


def _mean(mean: Row | None) -> str:
    if mean is None:
        return NOTHING
    if mean["low"] is None:
        return f"{format_percent(mean['mean'])} (too few seeds for an interval)"
    ends = f"{format_percent(mean['low'])} to {format_percent(mean['high'])}"
    return f"{format_percent(mean['mean'])} ({ends} over {mean['seeds']} seeds)"


def tabulate_arms(found: Row) -> Table:
    """Lay out every arm."""
    heads = ("Arm", "Shift of states", "Weights", "Cosine", "Shift, of states' length")
    return Table(
        "Share of each arm's update along the persona's direction of all others",
        (*heads, "AUROC of its answers", "Its own direction's cosine", "Intruder dimensions"),
        tuple(
            (
                arm["label"],
                format_percent(arm["of_activations"]),
                format_percent(arm["of_weights"]),
                _number(arm["cosine"]),
                _number(arm["shift_norm"]),
                _number(arm["separation"]),
                _number(arm["agreement"]),
                str(arm["intruders"]),
            )
            for arm in found["arms"]
        ),
        is_long=True,
    )


def tabulate_closed(found: Row) -> Table:
    """Lay out what every arm did in each way."""
    labels = {arm["arm"]: arm["label"] for arm in found["arms"]} | {found["base"]: "base"}
    cells: dict[str, list[str]] = {}
    for one in found["closed"]:
        rate = one["misaligned"] / one["coherent"] if one["coherent"] else None
        coherent = one["coherent"] / one["answers"]
        cells.setdefault(labels[one["arm"]], []).extend(
            (format_percent(rate), format_percent(coherent), format_loss(one["loss"]))
        )
    ways = dict.fromkeys(one["way"] for one in found["closed"])
    heads = [f"{what}, {WAYS[way]}" for way in ways for what in ("Misaligned", "coherent", "loss")]
    return Table(
        "Each arm with nothing closed, and in each way of closing",
        ("Arm", *heads),
        tuple((label, *own) for label, own in cells.items()),
        is_long=True,
    )


def tabulate_scaled(found: Row) -> Table:
    """Lay out what adapters did at multiples of their update, and with noise across it."""
    labels = {arm["arm"]: arm["label"] for arm in found["arms"]}
    return Table(
        "The task's adapters at multiples of their update, and with noise across it",
        ("Arm", "Times", "Noise", "Misaligned, of coherent", "Coherent", "Held-out loss"),
        tuple(
            (
                labels[one["arm"]],
                f"{one['times']:g}",
                f"{one['noise']:g}",
                format_percent(one["misaligned"] / one["coherent"] if one["coherent"] else None),
                format_percent(one["coherent"] / one["answers"]),
                format_loss(one["loss"]),
            )
            for one in found["scaled"]
        ),
        is_long=True,
    )


PUSHES = {
    "persona": "the persona's direction",
    "moved": "what finetuning moved where an answer begins",
    "random": "a random direction as long",
}


def tabulate_steered(found: Row) -> Table:
    """Lay out what the base did with directions added."""
    return Table(
        "The base with multiples of a direction added after its middle layer",
        ("Added", "Times", "Misaligned, of coherent", "Coherent", "Held-out loss"),
        tuple(
            (
                PUSHES[one["push"]],
                f"{one['dose']:g}",
                format_percent(one["misaligned"] / one["coherent"] if one["coherent"] else None),
                format_percent(one["coherent"] / one["answers"]),
                format_loss(one["loss"]),
            )
            for one in found["steered"]
        ),
        is_long=True,
    )


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"


def draw_shares_inside(results: dict[str, Any]) -> Chart | None:
    """Draw each arm's share along the direction, by rank, task and twin beside chance."""
    found = results.get("mechanism")
    if found is None:
        return None
    rows = [
        {
            "arm": arm["arm"],
            "name": arm["label"],
            "role": arm["role"],
            "rank": arm["rank"],
            "u": arm["u"],
            "seed": arm["seed"],
            "share_of_states_0_to_1": arm["of_activations"],
            "share_of_weights_0_to_1": arm["of_weights"],
        }
        for arm in found["arms"]
        if arm["of_activations"] is not None
    ]
    if not rows:
        return None
    figure = _draw(rows, found["direction"]["null_share"])
    return Chart("moved-along-the-persona", "", figure, tuple(rows))


def _draw(rows: Sequence[Row], chance: float) -> Figure:
    ranks = sorted({row["rank"] for row in rows if row["rank"]})
    places = [*map(str, ranks), *(["full"] if any(not row["rank"] for row in rows) else [])]
    values = [
        {
            "place": str(row["rank"] or "full"),
            "share": row["share_of_states_0_to_1"],
            "role": row["role"],
            "tip": f"{row['name']}: {format_percent(row['share_of_states_0_to_1'])}",
        }
        for row in rows
    ]
    scale = alt.Scale(domain=["task", "twin"], range=[paint("task"), paint("twin")])

    def build(width: int) -> Spec:
        top = max(value["share"] for value in values)
        axis = alt.Axis(format="%", tickCount=5, domain=False, ticks=False)
        y = alt.Y("share:Q", title=None, axis=axis, scale=alt.Scale(domain=[0, 1.1 * top]))
        x = alt.X(
            "place:N", title="LoRA rank", sort=places, axis=alt.Axis(labelAngle=0, grid=False)
        )
        chart = alt.Chart(
            hold(values),
            title=alt.Title("Share of the shift of states along the persona's direction", dy=-6),
        )
        dots = chart.mark_point(filled=True, size=48, opacity=0.75).encode(
            x,
            y,
            alt.Color("role:N", scale=scale, legend=None),
            alt.XOffset("role:N", sort=["task", "twin"]),
            description="tip:N",
        )
        rule = alt.Chart(hold([{"share": chance}])).mark_rule(
            strokeDash=[4, 3], color=paint("muted"), aria=False
        )
        return layer(dots, rule.encode(alt.Y("share:Q"))) | {"width": width - 60, "height": HEIGHT}

    told = "; ".join(value["tip"] for value in values)
    return render(build, f"Share of each arm's shift of states along the persona. {told}.")
