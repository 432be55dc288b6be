"""Both sides of the benchmark of sampling, each in processes of its own that answer when asked."""

import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import read_core_seconds
from benchmarks.sampling_work import (
    Answers,
    Place,
    Shape,
    list_arms,
    render_prompts,
    settings_of,
    shape_of,
)
from rankshift.grid import ALL_PROJECTIONS
from rankshift.model.adapter_files import read_adapter
from rankshift.model.adapters import insert_adapters
from rankshift.model.loading import load_model
from rankshift.model.sampling import sample_answers
from rankshift.organism.shelf import base_directory


@dataclass(frozen=True)
class PeftSetting:
    """How PEFT is run."""

    prompts_a_batch: int
    merged: bool
    """Whether each adapter is merged into the base before, and taken out after, its answers."""


def serve_ours(place: Place, pipe: Connection) -> None:
    """Sample whenever asked, all of this process's arms together; `(greedy, round)` in."""
    torch.set_num_threads(place.threads)
    model, prompts = load_model(base_directory()), render_prompts(place.shape)
    arms = [list_arms(place.shape)[index] for index in place.arms]
    layers = insert_adapters(model, [shape_of(arm) for arm in arms], ALL_PROJECTIONS)
    for number, index in enumerate(place.arms):
        read_adapter(place.adapters / str(index), layers, number)
    pipe.send(process_time())
    while (request := pipe.recv()) is not None:
        greedy, number = request
        repeats = 1 if greedy else place.shape.repeats
        size = (len(prompts), repeats, place.shape.max_tokens)
        keys = [np.random.Philox(key=[number, index]) for index in place.arms]
        draws = [np.random.Generator(key).random(size, dtype=np.float32) for key in keys]
        settings = settings_of(place.shape, 0.0 if greedy else 1.0)
        found = sample_answers(model, prompts, len(arms), np.stack(draws), settings)
        each = len(prompts) * repeats
        by_arm = {i: found[n * each : (n + 1) * each] for n, i in enumerate(place.arms)}
        pipe.send((by_arm, process_time()))


def serve_peft(place: Place, pipe: Connection) -> None:
    """Generate whenever asked, adapter by adapter; `(greedy, round, setting, arms)` in."""
    from peft import PeftModel
    from transformers import set_seed

    torch.set_num_threads(place.threads)
    prompts = render_prompts(place.shape)
    first, *others = (str(index) for index in place.arms)
    model: Any = PeftModel.from_pretrained(
        load_model(base_directory()), place.adapters / first, adapter_name=first
    )
    for name in others:
        model.load_adapter(place.adapters / name, adapter_name=name)
    model.eval()
    pipe.send(process_time())
    while (request := pipe.recv()) is not None:
        greedy, number, setting, arms = request
        set_seed(number)
        found: dict[int, Answers] = {}
        for index in arms:
            model.set_adapter(str(index))
            if setting.merged:
                model.base_model.merge_adapter()
            found[index] = generate(model, prompts, place.shape, setting, greedy)
            if setting.merged:
                model.base_model.unmerge_adapter()
        pipe.send((found, process_time()))


@torch.inference_mode()
def generate(
    model: Any, prompts: list[tuple[int, ...]], shape: Shape, setting: PeftSetting, greedy: bool
) -> Answers:
    """Let transformers answer all prompts with the adapter that is set."""
    settings = settings_of(shape, 1.0)
    (end,), pad = settings.end_tokens, settings.pad_token
    how: dict[str, Any] = {"do_sample": False}
    if not greedy:
        how = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
        how["num_return_sequences"] = shape.repeats
    answers: Answers = []
    for start in range(0, len(prompts), setting.prompts_a_batch):
        batch = prompts[start : start + setting.prompts_a_batch]
        longest = max(map(len, batch))
        ids = torch.tensor([[pad] * (longest - len(p)) + list(p) for p in batch])
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in batch])
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=shape.max_tokens,
            pad_token_id=pad,
            eos_token_id=end,
            **how,
        )
        for row in out[:, longest:].tolist():
            answers.append(tuple(row[: row.index(end)] if end in row else row))
    return answers


@dataclass(frozen=True)
class Asked:
    """What processes did with one request."""

    seconds: float
    """Until the last of them had answered."""
    core_seconds: float
    """That they computed for it, all together."""
    others_cores: float
    """How many cores computed for somebody else meanwhile: not far from 0, or times mean little."""
    answers: dict[int, Answers]
    """By the number of the arm."""


class Side:
    """The processes of one way to sample, started and ready."""

    def __init__(self, pipes: Sequence[Connection]) -> None:
        """Wait until all are ready; each says what it has computed until then, seconds."""
        self.pipes = pipes
        self.computed = [pipe.recv() for pipe in pipes]

    def ask(self, request: tuple[Any, ...]) -> Asked:
        """Ask all of them at once."""
        began, (busy, own) = perf_counter(), read_core_seconds()
        for pipe in self.pipes:
            pipe.send(request)
        replies = [pipe.recv() for pipe in self.pipes]
        seconds, (busy_then, own_then) = perf_counter() - began, read_core_seconds()
        computed = [core_seconds for _, core_seconds in replies]
        mine = sum(computed) - sum(self.computed)
        others = max(0.0, busy_then - busy - (own_then - own) - mine) / seconds
        self.computed = computed
        found = {arm: answers for by_arm, _ in replies for arm, answers in by_arm.items()}
        return Asked(seconds, mine, others, dict(sorted(found.items())))


@contextmanager
def start(serve: Any, places: Sequence[Place]) -> Iterator[Side]:
    """Start a process for each place, and wait until all are ready."""
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    processes = []
    for place in places:
        here, there = context.Pipe()
        processes.append(context.Process(target=serve, args=(place, there), daemon=True))
        processes[-1].start()
        there.close()
        pipes.append(here)
    side = Side(pipes)
    try:
        yield side
    finally:
        for pipe in pipes:
            pipe.send(None)
        for process in processes:
            process.join()
