"""A run on the terminal: its stages first, then its arms, those at work before the others."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rankshift.status import ArmStatus, StudyStatus, describe_progress

LARGEST_SHARE = 0.2
"""Of the time, at most, is spent on reading the run's files."""

NOTHING = "\N{EN DASH}"


def watch_status(
    directory: Path, console: Console, every_seconds: float, wait: Callable[[float], None] = sleep
) -> None:
    """Show how far a run is until it is finished or the watcher leaves; never waits for the run.

    Raises:
        UserError: The directory is not a study's, or a file in it was edited.
    """
    status = describe_progress(directory)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(lay_out(status, console.height - 1), refresh=True)
            if status.total.is_finished:
                return
            begun = monotonic()
            wait(every_seconds)
            reading = monotonic()
            status = describe_progress(directory)
            took = monotonic() - reading
            wait(max(0.0, took / LARGEST_SHARE - (monotonic() - begun)))


def lay_out(status: StudyStatus, height: int | None = None) -> Group:
    """Lay out the whole screen.

    Args:
        status: How far the study is.
        height: Lines there are, None for as many as it takes; then arms keep the grid's order.
    """
    stages = _tabulate_stages(status)
    last = Text(tell_end(status))
    calls = f", {status.calls:,} calls" if status.calls else ""
    arms, left_out = list(status.arms), 0
    if height is not None:
        arms = sorted(arms, key=lambda arm: arm.progress.is_finished)
        room = max(height - stages.row_count - 6, 1)  # headings, blank lines and the last line
        left_out = max(len(arms) - room, 0)
        arms = arms[: len(arms) - left_out]
    more = [Text(f"and {left_out} more arms", style="dim")] if left_out else []
    judge = Text(f"judge      {status.judge}{calls}", style="dim")
    return Group(stages, judge, Text(), _tabulate_arms(arms), *more, Text(), last)


def tell_end(status: StudyStatus) -> str:
    """Say in a line who writes, how long it still takes, and what to do where nobody does."""
    if status.total.is_finished:
        return "finished"
    if status.owner is None:
        return "not finished, and nobody writes it: run the study again"
    if status.seconds_left is None:
        return f"written by {status.owner}; time left is not known yet"
    rounded = timedelta(seconds=round(status.seconds_left))
    return f"written by {status.owner}; about {rounded} left at this pace"


def _tabulate_stages(status: StudyStatus) -> Table:
    total = status.total
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(width=24)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, style="dim")
    for name, done, due, note in (
        ("training", total.trained_steps, total.total_steps, "arm-steps"),
        ("measuring", total.measured, total.checkpoints, "checkpoints"),
        ("answering", total.answered, total.checkpoints, "checkpoints"),
        ("judging", total.judged, total.checkpoints, "checkpoints"),
    ):
        if due:
            bar = ProgressBar(due, done, width=24)
            table.add_row(name, bar, f"{done:,}/{due:,}", Text(note))
    return table


def _tabulate_arms(arms: list[ArmStatus]) -> Table:
    headings = ("steps", "loss", "held-out", "measured", "answered", "judged")
    table = Table("arm", *headings, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for arm in arms:
        p = arm.progress
        stopped = f" (stopped at {arm.stopped_at})" if arm.stopped_at else ""
        table.add_row(
            Text(arm.label + stopped),
            f"{p.trained_steps:,}/{p.total_steps:,}" if p.total_steps else NOTHING,
            _format_loss(arm.loss),
            _format_loss(arm.held_out_loss),
            *(f"{done}/{p.checkpoints}" for done in (p.measured, p.answered, p.judged)),
            style="dim" if p.is_finished else "",
        )
    return table


def _format_loss(loss: float | None) -> str:
    return NOTHING if loss is None else f"{loss:.3f}"
