"""The verb that measures what finetuning did to a model's abilities."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rankshift.cli.screen import AsJson, conclude, console


def capability(
    directory: Path,
    tasks: Annotated[str, typer.Option(help="Names of lm-evaluation-harness, commas between.")],
    include: Annotated[
        Path | None, typer.Option(help="Folder with tasks of your own, as YAML.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Ask the first so many questions of each task alone.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Prompts at a time.")] = 8,
    as_json: AsJson = False,
) -> None:
    """Measure the base and every arm's last weights in lm-evaluation-harness."""
    from rankshift.executor.capability import measure_capability
    from rankshift.executor.harness import Request

    names = tuple(dict.fromkeys(filter(None, map(str.strip, tasks.split(",")))))
    screen = Console(stderr=True) if as_json else console
    measure_capability(
        directory,
        Request(names, include, limit, batch_size),
        lambda line: screen.print(line, soft_wrap=True, markup=False),
    )
    conclude(directory, as_json)
