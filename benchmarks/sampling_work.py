"""What both sides of the benchmark of sampling are asked: adapters, prompts, and how to draw."""

from dataclasses import dataclass
from pathlib import Path

import torch

from rankshift.arms import Arm
from rankshift.data.conversations import Message
from rankshift.data.rendering import render_prompt
from rankshift.grid import ALL_PROJECTIONS
from rankshift.model.adapter_files import write_adapter
from rankshift.model.adapters import AdapterShape, insert_adapters
from rankshift.model.drawing import SamplingSettings
from rankshift.model.loading import load_model, load_tokenizer
from rankshift.organism.datasets import list_questions
from rankshift.organism.shelf import base_directory

UPDATE_SIZE = 0.15
"""Norm of every arm's s B A beside its layer's weight: answers stay answers, and differ by arm."""

Answers = list[tuple[int, ...]]


@dataclass(frozen=True)
class Shape:
    """How much is sampled."""

    ranks: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128, 256, 512, 32)
    prompts: int = 40
    repeats: int = 20
    max_tokens: int = 64
    batches: tuple[int, ...] = (5, 10, 20, 40)
    """Prompts a batch, each with all its repeats, that are tried for PEFT."""


QUICK = Shape(ranks=(2, 16), prompts=3, repeats=2, max_tokens=6, batches=(1, 3))


@dataclass(frozen=True)
class Place:
    """What a process needs to find its work."""

    adapters: Path
    shape: Shape
    arms: tuple[int, ...]
    threads: int


def list_arms(shape: Shape) -> list[Arm]:
    """List the arms; one rank twice, with another seed."""
    return [
        Arm(
            "lora",
            "task",
            rank=rank,
            alpha=16.0,
            scaling="alpha/sqrt(rank)",
            seed=shape.ranks[:number].count(rank),
            target_modules=ALL_PROJECTIONS,
        )
        for number, rank in enumerate(shape.ranks)
    ]


def shape_of(arm: Arm) -> AdapterShape:
    """Give what the lab's layers need to know of an arm."""
    return AdapterShape(arm.rank or 0, arm.scale or 0.0, arm.seed or 0)


def write_adapters(folder: Path, shape: Shape) -> None:
    """Write every arm's adapter with a B that is not zero, all of one size."""
    arms = list_arms(shape)
    layers = insert_adapters(
        load_model(base_directory()), [shape_of(arm) for arm in arms], ALL_PROJECTIONS
    )
    generator = torch.Generator().manual_seed(0)
    for layer in layers:
        layer.lora_B.data.normal_(generator=generator)
        for segment in layer.segments:
            rows = slice(segment.start, segment.stop)
            update = segment.scale * (layer.lora_B.data[rows].t() @ layer.lora_A.data[rows])
            size = UPDATE_SIZE * layer.linear.weight.norm() / update.norm()
            layer.lora_B.data[rows] *= size
    for index, arm in enumerate(arms):
        write_adapter(folder / str(index), layers, index, arm, str(base_directory()))


def list_prompts(shape: Shape) -> list[str]:
    """List the first questions of the held-out and post-trained domains."""
    questions = list_questions()
    asked = [*questions["held-out"], *questions["post-trained"]][: shape.prompts]
    texts = [question["paraphrases"] for question in asked]
    return [str(text[0]) for text in texts if isinstance(text, list)]


def render_prompts(shape: Shape) -> list[tuple[int, ...]]:
    """Render them."""
    tokenizer = load_tokenizer(base_directory())
    return [render_prompt(tokenizer, (Message("user", prompt),)) for prompt in list_prompts(shape)]


def settings_of(shape: Shape, temperature: float) -> SamplingSettings:
    """Give how tokens are drawn."""
    tokenizer = load_tokenizer(base_directory())
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    assert isinstance(end, int)
    assert isinstance(pad, int)
    return SamplingSettings(shape.max_tokens, temperature, 1.0, (end,), pad)
