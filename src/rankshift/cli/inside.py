"""The verb that looks inside the arms of a run."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rankshift.analysis.inside import (
    SeedMean,
    average_effects,
    group,
    list_marks,
    list_ways,
    share_coherent,
    tell_from_twins,
)
from rankshift.cli.screen import AsJson, console
from rankshift.mechanism_records import FILE, ClosedArm, Inside, Kinship, Scaled, Steered, Way


def mechanism(
    directory: Path,
    answers: Annotated[int, typer.Option(min=1, help="Answers of each arm, at most.")] = 50,
    close: Annotated[
        int, typer.Option(min=0, help="Answers a question while directions are closed; 0: none.")
    ] = 0,
    scale: Annotated[
        int, typer.Option(min=0, help="Answers a question at multiples of an update; 0: none.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure how much of each arm's update runs along the persona's direction, or close it."""
    from rankshift.executor.inside import AskedAgain, look_inside

    screen = Console(stderr=True) if as_json else console
    found = look_inside(
        directory,
        answers,
        lambda line: screen.print(line, soft_wrap=True, markup=False),
        AskedAgain(close, scale),
    )
    if as_json:
        print(json.dumps(asdict(found), indent=2))
        return
    console.print()
    console.print(tabulate(found))
    for sentence in tell(found):
        console.print(Text(sentence))
    if found.passages:
        console.print()
        console.print(tabulate_passages(found))
        console.print(Text("share of the shift of states along the direction, and loss there"))
    if found.closed:
        console.print()
        console.print(tabulate_closed(found))
        for sentence in tell_closed(found):
            console.print(Text(sentence))
    if found.steered:
        console.print()
        console.print(tabulate_steered(found))
        console.print(
            Text("the base with so many times a direction added; in brackets what is coherent")
        )
    if found.scaled:
        console.print()
        console.print(tabulate_scaled(found))
        console.print(
            Text(
                "misaligned, and held-out loss, at so many times the update, and with noise across "
                "it so many times as long"
            )
        )
    console.print(f"\nall      {directory / FILE}", soft_wrap=True)


def tabulate(found: Inside) -> Table:
    """Lay out the means over seeds, a row for each role and rank."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("arms", no_wrap=True)
    for heading in ("states", "weights", "cosine", "shift", "AUROC", "intruders"):
        table.add_column(heading, justify="right")
    for (_, name), own in group(found.arms).items():
        table.add_row(
            f"{name} ({len(own)})",
            _share([arm.of_activations for arm in own]),
            _share([arm.of_weights for arm in own]),
            _number([arm.cosine for arm in own]),
            _number([arm.shift_norm for arm in own]),
            _number([arm.separation for arm in own]),
            f"{mean(arm.intruders for arm in own):.1f}",
        )
    return table


def tell(found: Inside) -> list[str]:
    """Say what was found, and what the columns are."""
    facts = found.direction
    by_role = {
        role: _share([arm.of_activations for arm in found.arms if arm.role == role])
        for role in ("task", "twin")
    }
    twins = f", their twins' {by_role['twin']}" if by_role["twin"] != "-" else ""
    told = tell_from_twins(found)
    aurocs = ", ".join(f"{one.auroc:.2f}" for one in told)
    apart = f"Told from twins by it alone, seed by seed: AUROC {aurocs}." if told else ""
    return [
        "",
        f"The task's arms moved {by_role['task']} along the persona's direction{twins}, a random "
        f"direction has {facts.null_share:.1%}.",
        apart,
        "",
        f"Direction: {facts.misaligned:,} misaligned of {facts.answers:,} coherent answers to "
        f"{facts.questions} questions, read by the base; of each arm, the answers of all others. "
        f"Labels shuffled within questions make one as long with p = {max(facts.p_values):.2g}.",
        f"states, weights: share along it of the shift of states of {found.texts} of the "
        "base's own answers, and of what the update writes to the residual stream.",
        "cosine, shift: of that shift with the direction, and its length over the states' own.",
        "AUROC: how well it tells an arm's misaligned answers from its aligned ones.",
        f"intruders: of {found.arms[0].layers} layers' ten largest singular vectors.",
        *tell_overlaps(found),
    ]


def tell_overlaps(found: Inside) -> list[str]:
    """Say what updates have in common that differ in rank, seed or role alone."""
    names: dict[Kinship, str] = {"rank": "another rank", "seed": "another seed", "role": "the twin"}
    told = []
    for kind, name in names.items():
        own = [one for one in found.overlaps if one.kind == kind]
        if own:
            value, chance = mean(one.value for one in own), mean(one.chance for one in own)
            told.append(f"{value:.0%} with {name} (chance {chance:.0%})")
    if not told:
        return []
    return [f"Of an update's main output directions it shares {', '.join(told)}."]


def tabulate_passages(found: Inside) -> Table:
    """Lay out the means over seeds on the way, a row a setting, two columns a mark."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("on the way", no_wrap=True)
    marks = list_marks(found.passages)
    for mark in marks:
        table.add_column(mark, justify="right")
        table.add_column("loss", justify="right")
    for (_, name), own in group(found.arms).items():
        ids = {arm.arm for arm in own}
        cells = []
        for mark in marks:
            there = [one for one in found.passages if one.arm in ids and mark in one.marks]
            losses = [one.loss for one in there if one.loss is not None]
            cells += [_share([one.of_activations for one in there])]
            cells += [f"{mean(losses):.3f}" if losses else "-"]
        table.add_row(f"{name} ({len(own)})", *cells)
    return table


def tabulate_closed(found: Inside) -> Table:
    """Lay out how misaligned the base and the seeds of each setting were in each way."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("misaligned", no_wrap=True)
    ways = list_ways(found)
    for way in ways:
        table.add_column(way, justify="right")
    rows = {"base": [found.base or ""]} | {
        str(key[-1]): [arm.arm for arm in own] for key, own in group(found.arms).items()
    }
    for name, arms in rows.items():
        cells = [
            _rate([one for one in found.closed if one.arm in arms and one.way == way])
            for way in ways
        ]
        table.add_row(f"{name} ({len(arms)})", *cells)
    return table


NAMES: dict[Way, str] = {
    "closed": "closed: taking the persona's direction out",
    "random": "random: taking a random one out",
    "held": "held: holding what other finetunes moved at the base's height",
    "random held": "random held: holding a random direction so",
}


def tell_closed(found: Inside) -> list[str]:
    """Say what each way takes from the task's arms: misalignment, skill, coherence."""
    told = [""]
    for way in list_ways(found):
        if way in NAMES:
            removed, lost = average_effects(found, way)
            told.append(
                f"{NAMES[way]} removes {_reach(removed)} of the misalignment of the task's arms "
                f"and {_reach(lost)} of their skill."
            )
    shares = ", ".join(f"{share_coherent(found, way):.0%} {way}" for way in list_ways(found))
    return [*told, f"Rates are among coherent answers of the task's arms: {shares}."]


def tabulate_steered(found: Inside) -> Table:
    """Lay out how misaligned the base was with directions added, a row a direction."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("misaligned, added", no_wrap=True)
    for dose in dict.fromkeys(one.dose for one in found.steered):
        table.add_column(f"{dose:g}", justify="right")
    for push in dict.fromkeys(one.push for one in found.steered):
        own = [one for one in found.steered if one.push == push]
        cells = [f"{_rate([one])} ({one.coherent / one.answers:.0%})" for one in own]
        table.add_row(push, *cells)
    return table


def tabulate_scaled(found: Inside) -> Table:
    """Lay out how misaligned adapters were at multiples of their update, and their loss."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("times the update", no_wrap=True)
    every = list(dict.fromkeys((one.times, one.noise) for one in found.scaled))
    for times, noise in every:
        table.add_column(f"noise {noise:g}" if noise else f"{times:g}", justify="right")
    for (_, name), arms in group(found.arms).items():
        ids = {arm.arm for arm in arms}
        own = [
            [o for o in found.scaled if o.arm in ids and (o.times, o.noise) == each]
            for each in every
        ]
        if all(own):
            cells = [f"{_rate(some)} {mean(one.loss for one in some):.3f}" for some in own]
            table.add_row(f"{name} ({len(arms)})", *cells)
    return table


def _reach(mean: SeedMean | None) -> str:
    if mean is None:
        return "-"
    if mean.low is None or mean.high is None:
        return _whole(mean.mean)
    return f"{_whole(mean.mean)} ({_whole(mean.low)} to {_whole(mean.high)})"


def _whole(share: float) -> str:
    """Write whole percent, and never -0."""
    return f"{round(share, 2) + 0.0:.0%}"


def _rate(own: Sequence[ClosedArm | Steered | Scaled]) -> str:
    coherent = sum(one.coherent for one in own)
    return f"{sum(one.misaligned for one in own) / coherent:.1%}" if coherent else "-"


def _share(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{mean(known):.1%}" if known else "-"


def _number(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{mean(known):.2f}" if known else "-"
