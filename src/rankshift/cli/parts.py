"""Verbs on what a study is made of: data as a finetune sees it, and the organism."""

from pathlib import Path
from typing import Annotated

import typer

from rankshift.cli.screen import console
from rankshift.errors import UserError
from rankshift.organism.shapes import Shape

data_app = typer.Typer(help="Look at data as a finetune sees it.", no_args_is_help=True)
organism_app = typer.Typer(help="The embedded model organism.", no_args_is_help=True)


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


@organism_app.command("plant")
def plant_organism(
    directory: Annotated[Path, typer.Argument(help="Becomes the planted study's directory.")],
    shape: Annotated[Shape, typer.Option(help="Only `peak` rises and falls.")] = "peak",
    at: Annotated[int | None, typer.Option(help="Rank of the peak or the step.")] = None,
    seed: Annotated[int, typer.Option(help="Draws the effects of the study's seeds.")] = 1,
    seeds: Annotated[int, typer.Option(help="How many seeds there are at each rank.")] = 5,
    answers: Annotated[int, typer.Option(help="Answers to each of the 24 questions.")] = 10,
) -> None:
    """Plant a curve over rank: adapters with known true rates, and the study that asks them."""
    from rankshift.organism.planted import Plant, write_planted

    plant = Plant(shape, seed, at, num_seeds=seeds, answers=answers)
    study = write_planted(directory, plant)
    console.print(f"truth    {directory / 'planted.json'}")
    console.print(f"next     rankshift run {study}")
