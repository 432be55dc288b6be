"""Verbs on studies: run one, plan it, see how far it is, sum it up."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rankshift.cli.choice import Chosen, Only, Whole, choosing
from rankshift.cli.screen import AsJson, Root, conclude, console
from rankshift.study import Study

Pilot = Annotated[
    Path | None,
    typer.Option(help="A finished study's directory: its rates' spread in place of guesses."),
]
Track = Annotated[
    str | None, typer.Option(help="Log losses and rates to this local trackio project.")
]

if TYPE_CHECKING:
    from rankshift.executor.step_sizes import StepSizes


def demo(runs: Root = Path("runs"), as_json: AsJson = False) -> None:
    """Run the demo study on the embedded organism: no key, no GPU, no download."""
    from rankshift.study_file import read_study

    with resources.as_file(resources.files("rankshift.studies") / "demo.toml") as path:
        _run(read_study(path), runs, as_json)


@choosing
def run(
    study: Path,
    chosen: Chosen,
    runs: Root = Path("runs"),
    track: Track = None,
    as_json: AsJson = False,
) -> None:
    """Run a study, or continue it; what is done is never done again."""
    for one in chosen.read(study):
        _run(one, runs, as_json, track)


def _run(study: Study, runs: Path, as_json: bool, track: str | None = None) -> None:
    # Imported late: a misspelt key should not wait for torch.
    from rankshift.executor.run import run_study
    from rankshift.progress import watch_run

    screen = Console(stderr=True) if as_json else console  # stdout is then for the JSON alone
    screen.print(f"[bold]{study.name}[/bold]  {study.about}")
    with watch_run(screen) as watch:
        finished = run_study(study, runs, watch)
    if track is not None:
        from rankshift.tracking import track_run

        screen.print(track_run(finished.directory, track), markup=False, soft_wrap=True)
    conclude(finished.directory, as_json)


def plan(
    study: Path,
    runs: Root = Path("runs"),
    only: Only = None,
    whole: Whole = False,
    as_json: AsJson = False,
    pilot: Pilot = None,
) -> None:
    """Show what a study would train, what that takes and what peak it can see; writes nothing."""
    from rankshift.study_file import read_studies

    asked = read_studies(study, only, whole=whole)
    for one in asked:
        if len(asked) > 1 and not as_json:
            console.print(f"[bold]{one.name}[/bold]")
        _plan(one, runs, as_json, pilot)
    if not as_json:
        console.print(f"next     rankshift run {study}", soft_wrap=True)


def _plan(asked: Study, runs: Path, as_json: bool, pilot: Path | None) -> None:
    from rankshift.analysis.power import tell_power
    from rankshift.executor.preview import preview_study

    if asked.compute.assumed.device:
        _plan_scale(asked, as_json)
        return
    preview = preview_study(asked, runs, pilot)
    if as_json:
        print(json.dumps(asdict(preview), indent=2))
        return
    headings = "weights", "training", "activations", "GiB", "GFLOP a step"
    table = Table("group", "arms", *headings, "", box=None, pad_edge=False)
    for column in table.columns[2:-1]:
        column.justify = "right"
    for group in preview.groups:
        gib = group.gib
        figures: tuple[float, ...] = ()
        if gib:
            weights, training = gib["base"] + gib["adapters"], gib["gradients"] + gib["optimizer"]
            figures = weights, training, gib["activations"], group.total_gib
        notes = ["computed again"] * group.checkpointing + ["freed at once"] * group.frees_at_once
        table.add_row(
            group.id[:6],
            group.summary,
            *(f"{figure:.2f}" for figure in figures),
            *([f"{group.step_gflop:,.0f}"] if gib else [""] * 5),
            ", ".join(notes),
        )
    console.print(table)
    console.print(
        f"{preview.arms} arms, {preview.steps} steps each: {preview.tokens:,} tokens, "
        f"{preview.tflop:,.1f} TFLOP of products, {preview.answers:,} answers"
    )
    console.print(
        f"memory   in GiB; each of {preview.workers} workers may use {preview.worker_gib:.1f}"
    )
    _tell_step_sizes(preview.step_sizes)
    if preview.lacks:
        console.print(f"lacks    {escape(preview.lacks)}")
    for judge in preview.judging:
        cost = "" if judge.usd is None else f", {judge.usd:,.2f} US dollars"
        where = f"questions and answers go to {judge.place}" if judge.place else "on this machine"
        console.print(
            f"judging  {judge.judge}: at most {judge.calls:,} calls, {judge.input_tokens:,} tokens "
            f"to read{cost}; {where}"
        )
    for at, line in enumerate(tell_power(preview.power) if preview.power else []):
        console.print(f"{'' if at else 'power':9}{line}")


def _plan_scale(asked: Study, as_json: bool) -> None:
    """Print what a study takes on the devices it assumes."""
    from rankshift.executor.scale import plan_scale, tabulate, tell_scale

    found = plan_scale(asked)
    if as_json:
        print(json.dumps(asdict(found), indent=2))
        return
    headings, *lines = tabulate(found)
    table = Table(*headings, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for line in lines:
        table.add_row(*line)
    console.print(table)
    for line in tell_scale(found):
        console.print(escape(line), soft_wrap=True)


def _tell_step_sizes(step_sizes: Sequence["StepSizes"]) -> None:
    """Print u over rank for each setting, and whether it moves with rank."""
    from rankshift.executor.step_sizes import warn_of_confound

    for sizes in step_sizes:
        console.print(f"u        {escape(sizes.summary)}", soft_wrap=True)
    warning = warn_of_confound(step_sizes)
    if warning:
        console.print(f"[bold]warning[/bold]  {escape(warning)}", soft_wrap=True)


def report(directory: Path, as_json: AsJson = False) -> None:
    """Sum a run up again, finished or not: results.json and report.html."""
    from rankshift.report.page import sum_up
    from rankshift.runs import StudyRun

    sum_up(StudyRun(directory))
    conclude(directory, as_json)


def status(
    directory: Path,
    once: Annotated[bool, typer.Option("--once", help="Print once and end.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between looks.", min=0.2)] = 2.0,
    as_json: AsJson = False,
) -> None:
    """Show how far each stage and arm of a run is, live in a terminal; never waits for the run."""
    from rankshift.cli.live import lay_out, watch_status
    from rankshift.status import describe_progress

    if as_json:
        print(json.dumps(asdict(describe_progress(directory)), indent=2))
    elif once or not console.is_terminal:
        console.print(lay_out(describe_progress(directory)))
    else:
        with suppress(KeyboardInterrupt):  # to leave is no failure
            watch_status(directory, console, every)
