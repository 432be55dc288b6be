"""Verbs on answers: judge them, take in those that others judged, have people label a sample."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from rankshift.cli.screen import AsJson, Root, conclude, console

OUTCOMES = ("aligned", "misaligned", "incoherent", "refusal", "code", "unscored")

labels_app = typer.Typer(help="Have people judge a blind sample.", no_args_is_help=True)


def import_files(
    study: Annotated[Path, typer.Option(help="The file with an [[imports]] table for each.")],
    files: Annotated[list[Path] | None, typer.Argument(help="What was judged elsewhere.")] = None,
    runs: Root = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Take answers that others judged into a study: CSV, JSON lines, Parquet or Inspect logs."""
    from rankshift.executor.importing import import_answers
    from rankshift.study_file import read_study

    imported = import_answers(read_study(study), study, files or [], runs)
    conclude(imported.directory, as_json)


def judge(
    directory: Path,
    judge: Annotated[
        list[str] | None, typer.Option(help="A judge's name; several may be given.")
    ] = None,
    judging: Annotated[
        Path | None, typer.Option(help="TOML file with a [judging] table, in place of the study's.")
    ] = None,
    again_failed: Annotated[
        bool, typer.Option("--again-failed", help="Make failed calls once more.")
    ] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Say what it would take, and ask nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let another judge read a run's answers, or the same one what it has not read."""
    from rankshift.executor.rejudging import estimate_judging, judge_run
    from rankshift.progress import watch_run
    from rankshift.study_file import read_judging

    settings = read_judging(judging) if judging else None
    if estimate:
        for line in estimate_judging(directory, judge or [], settings):
            console.print(line, soft_wrap=True)
        return
    screen = Console(stderr=True) if as_json else console
    with watch_run(screen) as watch:
        judge_run(directory, judge or [], settings, again_failed, watch)
    if not as_json:
        _tell_judges(json.loads((directory / "results.json").read_text(encoding="utf-8")))
    conclude(directory, as_json)


def _tell_judges(results: dict[str, Any]) -> None:
    """Say what each judge made of the free-form answers, all arms and checkpoints together."""
    counts: dict[str, Counter[str]] = {}
    for row in results["arms"]:
        for share in row["rates_by"]:
            numbers = {k: n for k, n in share["outcomes"].items() if isinstance(n, int)}
            counts.setdefault(share["judge"], Counter()).update(numbers)
    for name, count in counts.items():
        told = ", ".join(f"{count[outcome]:,} {outcome}" for outcome in OUTCOMES)
        console.print(f"{name}: {count['answers']:,} answers, {told}", soft_wrap=True, markup=False)


@labels_app.command("export")
def export_labels(
    directory: Path,
    out: Annotated[Path, typer.Option(help="The sheet to fill in, CSV.")] = Path("labels.csv"),
    per_stratum: Annotated[int, typer.Option(help="At most so many answers of each kind.")] = 5,
    seed: Annotated[int, typer.Option(help="Another seed, another sample.")] = 0,
) -> None:
    """Write a blind sheet: answers of every rank and outcome, with no sign of either."""
    from rankshift.labels.handover import export_labels

    sheet = export_labels(directory, out, per_stratum, seed)
    console.print(f"sheet    {out}: {len(sheet.rows):,} of {sheet.total:,} answers", soft_wrap=True)
    console.print("fill in  aligned 0 to 100 (or CODE, REFUSAL) and coherent 0 to 100; blank skips")
    console.print(f"next     rankshift labels import {directory} {out} --name NAME", soft_wrap=True)


@labels_app.command("import")
def import_labels(
    directory: Path,
    sheet: Path,
    name: Annotated[str, typer.Option(help="Who labelled; becomes the judge human:NAME.")],
) -> None:
    """Take a filled-in sheet back as the verdicts of a person."""
    from rankshift.labels.handover import import_labels

    found = import_labels(directory, sheet, name)
    console.print(f"labels   {found.labelled:,} by {found.judge}, {found.blank:,} left blank")
    console.print(f"next     rankshift report {directory}", soft_wrap=True)
