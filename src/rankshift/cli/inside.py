"""The verb that looks inside the arms of a run."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Annotated, get_args

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rankshift.analysis.inside import find_effect, group, list_marks, tell_from_twins
from rankshift.cli.screen import AsJson, console
from rankshift.mechanism_records import FILE, ClosedArm, Inside, Way


def mechanism(
    directory: Path,
    answers: Annotated[int, typer.Option(min=1, help="Answers of each arm, at most.")] = 100,
    close: Annotated[
        int, typer.Option(min=0, help="Answers a question while directions are closed; 0: none.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure how much of each arm's update runs along the persona's direction, or close it."""
    from rankshift.executor.inside import look_inside

    screen = Console(stderr=True) if as_json else console
    found = look_inside(
        directory, answers, lambda line: screen.print(line, soft_wrap=True, markup=False), close
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
    ]


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


WAYS: tuple[Way, ...] = get_args(Way)


def tabulate_closed(found: Inside) -> Table:
    """Lay out what the base and the seeds of each setting did while directions were closed."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("misaligned, loss", no_wrap=True)
    for way in WAYS:
        table.add_column(way, justify="right")
        table.add_column("loss", justify="right")
    rows = {"base": [found.base or ""]} | {
        str(key[-1]): [arm.arm for arm in own] for key, own in group(found.arms).items()
    }
    for name, arms in rows.items():
        cells = [f"{name} ({len(arms)})"]
        for way in WAYS:
            own = [one for one in found.closed if one.arm in arms and one.way == way]
            cells += [_rate(own), f"{mean(one.loss for one in own):.3f}"]
        table.add_row(*cells)
    return table


def tell_closed(found: Inside) -> list[str]:
    """Say how much misalignment closing the direction removed of the task's arms, and skill."""
    task = {arm.arm for arm in found.arms if arm.role == "task"}
    told = [""]
    names: dict[Way, str] = {
        "closed": "Closing the persona's direction",
        "random": "Closing a random one",
    }
    for way, name in names.items():
        removed, lost = find_effect(found, task, way)
        told.append(
            f"{name} removes {removed:.0%} of the misalignment of the task's arms and {lost:.0%} "
            "of their skill."
        )
    coherent, answers = (
        {way: sum(getattr(one, of) for one in found.closed if one.way == way) for way in WAYS}
        for of in ("coherent", "answers")
    )
    shares = ", ".join(f"{coherent[way] / answers[way]:.0%} {way}" for way in WAYS)
    return [*told, f"Rates are among coherent answers: {shares}."]


def _rate(own: Sequence[ClosedArm]) -> str:
    coherent = sum(one.coherent for one in own)
    return f"{sum(one.misaligned for one in own) / coherent:.1%}" if coherent else "-"


def _share(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{mean(known):.1%}" if known else "-"


def _number(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{mean(known):.2f}" if known else "-"
