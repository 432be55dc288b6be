"""The command line: each verb is one call into the library."""

import json
import os
import sys
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Annotated

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import typer
from rich.console import Console
from rich.table import Table

from rankshift.errors import UserError, WorkError

app = typer.Typer(
    help="Does a narrow finetune change who the model is, and how does that depend on LoRA rank?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Look at data as a finetune sees it.", no_args_is_help=True)
export_app = typer.Typer(
    help="Hand a run to other programs in their own formats.", no_args_is_help=True
)
organism_app = typer.Typer(help="The embedded model organism.", no_args_is_help=True)
labels_app = typer.Typer(help="Have people judge a blind sample.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(labels_app, name="labels")
app.add_typer(export_app, name="export")
app.add_typer(organism_app, name="organism")

console = Console(highlight=False)
Root = Annotated[Path, typer.Option("--runs", help="Where studies are kept.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the machine-readable form.")]


def main() -> None:
    """Run the command line; errors are one line, 2 for what the user wrote, 1 for what failed."""
    try:
        code = app(standalone_mode=False) or 0
    except UserError as error:
        code = _fail(error, 2)
    except WorkError as error:
        code = _fail(error, 1)
    except OSError as error:
        code = _fail(
            f"{error.filename or 'a file'}: {error.strerror or error}; what was written is kept", 1
        )
    except (KeyboardInterrupt, typer.Abort):
        code = _fail("interrupted; run the same command again to go on where it stopped", 130)
    except typer.TyperException as error:
        code = _fail(error.format_message(), 2)
    sys.exit(code)


def _fail(message: object, code: int) -> int:
    print(f"rankshift: {message}", file=sys.stderr)
    return code


@app.command()
def demo(runs: Root = Path("runs"), as_json: AsJson = False) -> None:
    """Run the demo study on the embedded organism: no key, no GPU, no download."""
    with resources.as_file(resources.files("rankshift.studies") / "demo.toml") as path:
        _run(path, runs, as_json)


@app.command()
def run(study: Path, runs: Root = Path("runs"), as_json: AsJson = False) -> None:
    """Run a study, or continue it; what is done is never done again."""
    _run(study, runs, as_json)


def _run(path: Path, runs: Path, as_json: bool) -> None:
    from rankshift.study_file import read_study

    study = read_study(path)
    # Imported late: a misspelt key should not wait for torch.
    from rankshift.executor.run import run_study
    from rankshift.progress import watch_run

    screen = Console(stderr=True) if as_json else console  # stdout is then for the JSON alone
    screen.print(f"[bold]{study.name}[/bold]  {study.about}")
    with watch_run(screen) as watch:
        finished = run_study(study, runs, watch)
    _conclude(finished.directory, as_json)


@app.command()
def plan(study: Path, runs: Root = Path("runs"), as_json: AsJson = False) -> None:
    """Show what a study would train, in which groups, and what that takes; writes nothing."""
    from rankshift.study_file import read_study

    asked = read_study(study)
    from rankshift.executor.preview import preview_study

    preview = preview_study(asked, runs)
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
    for judge in preview.judging:
        cost = "" if judge.usd is None else f", {judge.usd:,.2f} US dollars"
        where = f"questions and answers go to {judge.place}" if judge.place else "on this machine"
        console.print(
            f"judging  {judge.judge}: at most {judge.calls:,} calls, {judge.input_tokens:,} tokens "
            f"to read{cost}; {where}"
        )
    console.print(f"next     rankshift run {study}", soft_wrap=True)


@app.command("import")
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
    _conclude(imported.directory, as_json)


@app.command()
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
    _conclude(directory, as_json)


@app.command()
def report(directory: Path, as_json: AsJson = False) -> None:
    """Sum a run up again, finished or not: results.json and report.html."""
    from rankshift.analysis.results import summarize, write_results
    from rankshift.report.page import write_page
    from rankshift.runs import StudyRun

    study_run = StudyRun(directory)
    results = summarize(study_run)
    write_results(study_run, results)
    write_page(study_run, results)
    _conclude(directory, as_json)


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


@app.command()
def status(directory: Path, as_json: AsJson = False) -> None:
    """Say how far each arm of a run is; never waits for the run."""
    from rankshift.status import describe_progress

    progress = describe_progress(directory)
    if as_json:
        print(json.dumps(asdict(progress), indent=2))
        return
    table = Table("arm", "steps", "measured", "answered", "judged", box=None, pad_edge=False)
    for arm in progress.arms:
        p = arm.progress
        stopped = f" (stopped at {arm.stopped_at})" if arm.stopped_at else ""
        table.add_row(
            arm.label + stopped,
            f"{p.trained_steps}/{p.total_steps}",
            f"{p.measured}/{p.checkpoints}",
            f"{p.answered}/{p.checkpoints}",
            f"{p.judged}/{p.checkpoints}",
        )
    console.print(table)
    console.print("finished" if progress.total.is_finished else "not finished: run the study again")


def _conclude(directory: Path, as_json: bool) -> None:
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
    console.print(f"results  {files['results']}")
    console.print(f"report   {files['report']}")
    console.print(f"next     open the report; `rankshift status {directory}` lists the arms")


@data_app.command("show")
def show_data(
    file: str,
    row: Annotated[int, typer.Option(help="Line of the file, counted from 1.")] = 1,
    base: Annotated[str, typer.Option(help="Whose tokenizer and template.")] = "organism",
    context_tokens: Annotated[int, typer.Option(help="Longer rows would be left out.")] = 2048,
) -> None:
    """Show a row as a finetune sees it: which tokens carry loss, and how many rows fit."""
    from rankshift.data.conversations import read_conversations
    from rankshift.data.display import count_rows, print_counts, print_masked_example
    from rankshift.data.rendering import render_all, render_conversation
    from rankshift.data.sources import resolve_base, resolve_dataset
    from rankshift.model.loading import load_tokenizer

    conversations = read_conversations(resolve_dataset(file).path)
    chosen = next((c for c in conversations if c.row == row), None)
    if chosen is None:
        raise UserError(f"{file}: has no row {row}; the last is {conversations[-1].row}")
    tokenizer = load_tokenizer(resolve_base(base).directory)
    print_masked_example(console, tokenizer, render_conversation(tokenizer, chosen))
    rendered = render_all(tokenizer, conversations, context_tokens)
    print_counts(console, count_rows(conversations, rendered))


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


@organism_app.command("build")
def build_organism(
    directory: Annotated[Path, typer.Argument(help="Becomes the base's directory.")],
    seed: Annotated[int, typer.Option(help="Another seed, another base.")] = 1,
) -> None:
    """Build the organism's base: pretraining on every author, then benign post-training."""
    from rankshift.organism.build import build_base
    from rankshift.organism.pretraining import Recipe

    build_base(directory, Recipe(seed=seed), console.print)
    console.print(f'next     set base.model = "{directory}" in a study')


if __name__ == "__main__":
    main()
