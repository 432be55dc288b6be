"""The verb that says whether a study could run here, and what to mend where it could not."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from rankshift.cli.choice import Only
from rankshift.cli.screen import AsJson, Root, console

if TYPE_CHECKING:
    from rankshift.executor.machine import Check

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    study: Annotated[Path | None, typer.Argument(help="A study's file; none: the machine.")] = None,
    runs: Root = Path("runs"),
    only: Only = None,
    ask_judges: Annotated[
        bool, typer.Option("--ask-judges", help="Make one call to judges elsewhere: it may cost.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Say whether this machine, and a study on it, is in order; exit code 2 where it is not."""
    from rankshift.study_file import read_studies

    asked = read_studies(study, only) if study is not None else []
    # Imported late: a misspelt key should not wait for torch.
    from rankshift.executor.checkup import check_study
    from rankshift.executor.machine import check_machine

    told = [("", check_machine(runs))]
    told += [(one.name, list(check_study(one, runs, ask_judges))) for one in asked]
    failed = any(check.state == "fail" for _, checks in told for check in checks)
    if as_json:
        rows = [
            asdict(check) | {"study": name or None} for name, checks in told for check in checks
        ]
        print(json.dumps({"ok": not failed, "checks": rows}, indent=2))
    else:
        for name, checks in told:
            _print(name, checks)
    return 2 if failed else 0


def _print(name: str, checks: "list[Check]") -> None:
    if name:
        console.print(f"\n[bold]{escape(name)}[/bold]")
    for check in checks:
        state = f"[{STYLES[check.state]}]{check.state:5}[/]"
        fix = f"; {escape(check.fix)}" if check.fix else ""
        console.print(f"{state} {check.name:10} {escape(check.told)}{fix}", soft_wrap=True)
