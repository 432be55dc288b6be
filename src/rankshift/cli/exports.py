"""Verbs that hand a run to other programs."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rankshift.cli.screen import AsJson, console

export_app = typer.Typer(
    help="Hand a run to other programs in their own formats.", no_args_is_help=True
)


@export_app.command("adapters")
def export_adapters(
    directory: Path,
    out: Annotated[
        Path | None, typer.Option(help="Where to; DIRECTORY/export/adapters if left out.")
    ] = None,
    step: Annotated[
        int | None, typer.Option(help="Which checkpoint; else each arm's last.")
    ] = None,
    base_id: Annotated[str | None, typer.Option(help="Hub id to name the base by.")] = None,
    as_json: AsJson = False,
) -> None:
    """Weights of every arm, finished or not, each with a model card."""
    from rankshift.export.adapters import export_adapters

    exported = export_adapters(directory, out, step, base_id)
    if as_json:
        print(json.dumps(asdict(exported), indent=2, default=str))
        return
    for name, state in exported.folders.items():
        console.print(f"{state:<9} {exported.out / name}", soft_wrap=True, markup=False)
    for label in exported.without_weights:
        console.print(f"left out  {label}: no such checkpoint yet", soft_wrap=True, markup=False)
    first = exported.out / next(iter(exported.folders)) / "README.md"
    console.print(f"next      read {first}: what it is, and how to load it", soft_wrap=True)


@export_app.command("inspect")
def export_inspect(
    directory: Path,
    out: Annotated[
        Path | None, typer.Option(help="Where to; DIRECTORY/export/inspect if left out.")
    ] = None,
    every_checkpoint: Annotated[bool, typer.Option(help="Not only each arm's last.")] = False,
    as_json: AsJson = False,
) -> None:
    """Answers and verdicts as logs for `inspect view`, the worst answers first."""
    from rankshift.inspection.logs import export_logs
    from rankshift.runs import StudyRun

    folder = out or directory / "export" / "inspect"
    paths = export_logs(StudyRun(directory), folder, every_checkpoint)
    if as_json:
        print(json.dumps({"logs": [str(path) for path in paths]}, indent=2))
        return
    console.print(f"logs     {len(paths)} in {folder}", soft_wrap=True)
    console.print(f"next     inspect view --log-dir {folder}", soft_wrap=True)


@export_app.command("tables")
def export_tables(
    directory: Path,
    out: Annotated[
        Path | None, typer.Option(help="Where to; DIRECTORY/export/tables if left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Arms, answers, losses and curves as CSV and Parquet; what `rankshift.load` gives."""
    from rankshift.export.tables import export_tables

    tables = export_tables(directory, out)
    if as_json:
        print(json.dumps(asdict(tables), indent=2, default=str))
        return
    for name, rows in tables.rows.items():
        console.print(f"{name:<9} {rows:,} rows", markup=False)
    console.print(f"written   to {tables.out}", soft_wrap=True, markup=False)
    if not tables.has_parquet:
        console.print("parquet   left out: `pip install rankshift[parquet]` brings pyarrow")
    console.print("next      read docs/frames.md: what the columns are", soft_wrap=True)
