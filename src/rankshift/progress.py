"""What a person sees while a study runs: bars with the time left, or plain lines in a log."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from rankshift.executor.watch import Unit, Watch

SECONDS_BETWEEN_LINES = 15.0
"""In a log, not a terminal, one line at most so often."""

LABELS: dict[Unit, str] = {
    "steps": "training (arm-steps)",
    "answers": "answering (arms at a checkpoint)",
    "calls": "judging (calls)",
}


@contextmanager
def watch_run(console: Console) -> Iterator[Watch]:
    """Show how far a run is, for as long as the context lasts."""
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    tasks: dict[Unit, TaskID] = {}
    last_line = monotonic()

    def begin(kind: Unit, total: int) -> None:
        if total:
            tasks[kind] = bars.add_task(LABELS[kind], total=total)

    def advance(kind: Unit, amount: int) -> None:
        nonlocal last_line
        if kind in tasks:
            bars.advance(tasks[kind], amount)
        if not console.is_terminal and monotonic() - last_line > SECONDS_BETWEEN_LINES:
            last_line = monotonic()
            console.print(
                ", ".join(f"{t.description} {t.completed:.0f}/{t.total:.0f}" for t in bars.tasks)
            )

    with bars:
        yield Watch(begin, advance, lambda line: console.print(f"[dim]{line}[/dim]"))
