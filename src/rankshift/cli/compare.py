"""The verb that sets two runs side by side."""

import json
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from rankshift.cli.screen import AsJson, console

NO_VERDICT = "No verdict in its results; `rankshift report` gives one where there is a curve."

LONGEST_VALUE = 30
"""Characters of a setting that are shown; --json has all."""


def compare(first: Path, second: Path, as_json: AsJson = False) -> None:
    """Set two runs side by side, trained or imported; differences are the second less the first.

    What may not be compared is said first.
    """
    from rankshift.analysis.comparison import compare_results
    from rankshift.frames.loading import load_frames

    compared = compare_results(*(load_frames(path).results for path in (first, second)))
    if as_json:
        print(json.dumps(compared, indent=2))
        return
    console.print(Text(compared["caution"], style="bold"))
    for letter, study in zip("AB", compared["studies"], strict=True):
        verdict = study["sentence"] or NO_VERDICT
        console.print(Text(f"\n{letter}  {study['name']}: {study['about']}".rstrip(": ")))
        console.print(Text(f"   {verdict}", style="dim"))
    console.print(Text(f"\n{_tell_arms(compared['arms'])}"))
    for curve in compared["curves"]:
        console.print(Text(f"\n{_name_curve(curve)}"))
        console.print(_tabulate_rates(curve))
    for lone in compared["without_counterpart"]:
        console.print(Text(f"only {lone['run'].upper()}: {_name_setting(lone)}"))
    if compared["losses"]:
        console.print(Text("\nheld-out loss on the task at the end, nats a token"))
        console.print(_tabulate_losses(compared["losses"]))
    if compared["settings"]:
        console.print(Text("\nsettings that differ"))
        console.print(_tabulate_settings(compared["settings"]))
    console.print("\nnext     --json has both denominators and every interval", soft_wrap=True)


def _tell_arms(arms: dict[str, Any]) -> str:
    told = f"{arms['both']} arms are in both, {arms['only_a']} in A alone, {arms['only_b']} in B"
    if arms["disagree"]:
        names = ", ".join(arm["label"] for arm in arms["disagree"])
        return f"{told} alone. In both but not alike in held-out loss: {names}."
    same = "; those in both have the same held-out losses" if arms["both"] else ""
    return f"{told} alone{same}."


def _name_curve(curve: dict[str, Any]) -> str:
    mine, other = _name_setting(curve["a"]), _name_setting(curve["b"])
    subject = "misaligned of coherent answers"
    return f"{subject}, {mine}" if mine == other else f"{subject}, A: {mine}; B: {other}"


def _name_setting(curve: dict[str, Any]) -> str:
    step = "u" if curve.get("u") is not None else "learning_rate"
    words = [curve["role"], str(curve["dataset"])]
    words += [str(curve["scaling"]), f"alpha {curve['alpha']}"] if curve["scaling"] else []
    if curve.get(step) is not None:
        words.append(f"{step.replace('_', ' ')} {curve[step]:g}")
    return ", ".join(words)


def _tabulate_rates(curve: dict[str, Any]) -> Table:
    table = Table("", "A", "B", "B - A, points", "seeds", box=None, pad_edge=False)
    for column in table.columns[1:4]:
        column.justify, column.no_wrap = "right", True
    for cell in curve["cells"]:
        told = cell["misaligned_given_coherent"]
        name = cell["category"] or f"rank {cell['rank']}"
        difference = _format_difference(told)
        rates = [_format_rate(told[side]) for side in ("a", "b")]
        table.add_row(Text(name), *rates, difference, told["seeds"])
    return table


def _format_rate(cell: dict[str, Any] | None) -> str:
    if cell is None or cell["rate"] is None:
        return "\N{EN DASH}"
    if cell["low"] is None:
        return f"{100 * cell['rate']:.1f}%"
    return f"{100 * cell['rate']:.1f}% ({100 * cell['low']:.0f}-{100 * cell['high']:.0f})"


def _format_difference(told: dict[str, Any]) -> str:
    if told["difference"] is None:
        return "\N{EN DASH}"
    if told["low"] is None:
        return f"{100 * told['difference']:+.1f} ({told['note']})"
    return (
        f"{100 * told['difference']:+.1f} ({100 * told['low']:+.0f} to {100 * told['high']:+.0f})"
    )


def _tabulate_losses(losses: list[dict[str, Any]]) -> Table:
    table = Table("", "A", "B", "B - A", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in losses:
        a, b = row["a"], row["b"]
        shown = [f"{side['loss']:.3f}" if side else "\N{EN DASH}" for side in (a, b)]
        both = f"{b['loss'] - a['loss']:+.3f}" if a and b else "\N{EN DASH}"
        table.add_row(Text(row["what"]), *shown, both)
    return table


def _tabulate_settings(settings: list[dict[str, Any]]) -> Table:
    table = Table("", "A", "B", box=None, pad_edge=False)
    for setting in settings:
        sides = (_shorten(setting[side]) for side in ("a", "b"))
        table.add_row(Text(setting["key"]), *map(Text, sides))
    return table


def _shorten(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."
