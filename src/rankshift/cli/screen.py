"""What verbs share: where they print, options they have in common, and how a finding is told."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

console = Console(highlight=False)
Root = Annotated[Path, typer.Option("--runs", help="Where studies are kept.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the machine-readable form.")]


def conclude(directory: Path, as_json: bool) -> None:
    """Say what was found, where it is and what to do next."""
    from rankshift.report.headline import write_headline

    results = json.loads((directory / "results.json").read_text(encoding="utf-8"))
    found = write_headline(results)
    files = {"results": str(directory / "results.json"), "report": str(directory / "report.html")}
    if as_json:
        print(json.dumps(asdict(found) | files, indent=2))
        return
    console.print(f"\n[bold]{found.claim}[/bold]")
    for sentence in found.context:
        console.print(sentence)
    console.print()
    # A path that is cut over two lines cannot be copied.
    console.print(f"results  {files['results']}", soft_wrap=True)
    console.print(f"report   {files['report']}", soft_wrap=True)
    console.print(
        f"next     open the report; `rankshift status {directory}` lists the arms", soft_wrap=True
    )
