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

from rankshift.cli.screen import AsJson, console
from rankshift.mechanism_records import FILE, Inside, InsideArm


def mechanism(
    directory: Path,
    answers: Annotated[int, typer.Option(min=1, help="Answers of each arm, at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Measure how much of each arm's update runs along the persona's direction."""
    from rankshift.executor.inside import look_inside

    screen = Console(stderr=True) if as_json else console
    found = look_inside(
        directory, answers, lambda line: screen.print(line, soft_wrap=True, markup=False)
    )
    if as_json:
        print(json.dumps(asdict(found), indent=2))
        return
    console.print()
    console.print(tabulate(found))
    for sentence in tell(found):
        console.print(Text(sentence))
    console.print(f"\nall      {directory / FILE}", soft_wrap=True)


def tabulate(found: Inside) -> Table:
    """Lay out the means over seeds, a row for each role and rank."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("arms", no_wrap=True)
    for heading in ("activations", "weights", "cosine", "shift", "AUROC", "intruders"):
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


def group(arms: Sequence[InsideArm]) -> dict[tuple[object, ...], list[InsideArm]]:
    """Put the seeds of a setting together, the task's first; each with what to call it."""
    several = len({arm.u for arm in arms if arm.u is not None}) > 1
    groups: dict[tuple[object, ...], list[InsideArm]] = {}
    for arm in sorted(arms, key=_order):
        name = f"rank {arm.rank}" if arm.method == "lora" else f"full, {arm.optimizer}"
        if several and arm.u is not None:
            name += f", u {arm.u:g}"
        name += ", frozen A" * (not arm.trains_a)
        groups.setdefault((_order(arm), "twin " * (arm.role == "twin") + name), []).append(arm)
    return groups


def _order(arm: InsideArm) -> tuple[object, ...]:
    kind = (arm.role, arm.method != "lora", not arm.trains_a, arm.optimizer)
    return (*kind, arm.u or 0.0, arm.rank or 0)


def tell(found: Inside) -> list[str]:
    """Say what was found, and what the columns are."""
    facts = found.direction
    by_role = {
        role: _share([arm.of_activations for arm in found.arms if arm.role == role])
        for role in ("task", "twin")
    }
    twins = f", their twins' {by_role['twin']}" if by_role["twin"] != "-" else ""
    return [
        "",
        f"The task's arms moved {by_role['task']} along the persona's direction{twins}, a random "
        f"direction has {facts.null_share:.1%}.",
        "",
        f"Direction: {facts.misaligned:,} misaligned of {facts.answers:,} coherent answers to "
        f"{facts.questions} questions, read by the base; of each arm, the answers of all others. "
        f"Labels shuffled within questions make one as long with p = {max(facts.p_values):.2g}.",
        f"activations, weights: share along it of the shift of states of {found.texts} of the "
        "base's own answers, and of what the update writes to the residual stream.",
        "cosine, shift: of that shift with the direction, and its length over the states' own.",
        "AUROC: how well it tells an arm's misaligned answers from its aligned ones.",
        f"intruders: of {found.arms[0].layers} layers' ten largest singular vectors.",
    ]


def _share(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{mean(known):.1%}" if known else "-"


def _number(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{mean(known):.2f}" if known else "-"
