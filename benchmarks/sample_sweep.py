"""Measure how fast all answers of a rank sweep are sampled, against PEFT adapter by adapter.

Both sample the same number of answers of the same adapters, from the same files, on two cores: ours
in two processes of one thread that take half of the arms each, or in one of two threads; PEFT in
one of two threads at the setting that proved best for it in a first trial. Rounds alternate, each
side in processes of its own that were started and warmed up before.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from scipy.stats import chi2_contingency

from benchmarks.measuring import RESULTS, spread_of, write_results
from rankshift.data.conversations import Message
from rankshift.data.rendering import render_prompt
from rankshift.model.adapter_files import read_adapter, write_adapter
from rankshift.model.adapters import AdapterShape, insert_adapters
from rankshift.model.drawing import SamplingSettings
from rankshift.model.loading import load_model, load_tokenizer
from rankshift.model.sampling import sample_answers
from rankshift.organism.datasets import list_questions
from rankshift.organism.shelf import base_directory
from rankshift.study import ALL_PROJECTIONS, Arm

CORES = 2
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
class PeftSetting:
    """How PEFT is run."""

    prompts_a_batch: int
    merged: bool
    """Whether each adapter is merged into the base before, and taken out after, its answers."""


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


def render_prompts(shape: Shape) -> list[tuple[int, ...]]:
    """Render the first questions of the held-out and post-trained domains."""
    tokenizer, questions = load_tokenizer(base_directory()), list_questions()
    asked = [*questions["held-out"], *questions["post-trained"]][: shape.prompts]
    texts = [question["paraphrases"] for question in asked]
    return [
        render_prompt(tokenizer, (Message("user", str(text[0])),))
        for text in texts
        if isinstance(text, list)
    ]


def settings_of(shape: Shape, temperature: float) -> SamplingSettings:
    """Give how tokens are drawn."""
    tokenizer = load_tokenizer(base_directory())
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    assert isinstance(end, int)
    assert isinstance(pad, int)
    return SamplingSettings(shape.max_tokens, temperature, 1.0, (end,), pad)


def serve_ours(place: Place, pipe: Connection) -> None:
    """Sample whenever asked, all of this process's arms together; `(greedy, round)` in."""
    torch.set_num_threads(place.threads)
    model, prompts = load_model(base_directory()), render_prompts(place.shape)
    arms = [list_arms(place.shape)[index] for index in place.arms]
    layers = insert_adapters(model, [shape_of(arm) for arm in arms], ALL_PROJECTIONS)
    for number, index in enumerate(place.arms):
        read_adapter(place.adapters / str(index), layers, number)
    pipe.send("ready")
    while (request := pipe.recv()) is not None:
        greedy, number = request
        repeats = 1 if greedy else place.shape.repeats
        size = (len(prompts), repeats, place.shape.max_tokens)
        keys = [np.random.Philox(key=[number, index]) for index in place.arms]
        draws = [np.random.Generator(key).random(size, dtype=np.float32) for key in keys]
        settings = settings_of(place.shape, 0.0 if greedy else 1.0)
        found = sample_answers(model, prompts, len(arms), np.stack(draws), settings)
        each = len(prompts) * repeats
        pipe.send({i: found[n * each : (n + 1) * each] for n, i in enumerate(place.arms)})


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
    pipe.send("ready")
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
        pipe.send(found)


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


@contextmanager
def start(serve: Any, places: Sequence[Place]) -> Iterator[list[Connection]]:
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
    for pipe in pipes:
        pipe.recv()
    try:
        yield pipes
    finally:
        for pipe in pipes:
            pipe.send(None)
        for process in processes:
            process.join()


def ask(pipes: list[Connection], request: tuple[Any, ...]) -> tuple[float, dict[int, Answers]]:
    """Ask processes at once; give the seconds until the last has answered, and all answers."""
    began = perf_counter()
    for pipe in pipes:
        pipe.send(request)
    found: dict[int, Answers] = {}
    for pipe in pipes:
        found |= pipe.recv()
    return perf_counter() - began, dict(sorted(found.items()))


def choose_setting(pipe: list[Connection], shape: Shape) -> tuple[PeftSetting, list[Any]]:
    """Try PEFT's settings on the arm whose rank is nearest to the mean; give the best, and all."""
    mean = statistics.fmean(shape.ranks)
    arms = [min(range(len(shape.ranks)), key=lambda index: abs(shape.ranks[index] - mean))]
    tried = []
    for merged in (False, True):
        for batch in shape.batches:
            setting = PeftSetting(batch, merged)
            seconds, _ = ask(pipe, (False, 0, setting, arms))
            tried.append({**asdict(setting), "seconds": seconds, "arms": arms})
            print(
                f"trial: peft, {batch} prompts a batch, merged {merged}: {seconds:.2f} s",
                flush=True,
            )
    best = min(tried, key=lambda trial: trial["seconds"])
    return PeftSetting(best["prompts_a_batch"], best["merged"]), tried


def compare(ours: dict[int, Answers], theirs: dict[int, Answers]) -> dict[str, Any]:
    """Compare two samples: lengths, and by arm whether first tokens come from one distribution.

    Returns:
        Mean lengths, the smallest p-value of the arms' chi-squared tests, and the largest total
        variation distance. `min_p` below 0.05 / arms would say that the samplers differ.
    """
    p_values, distances = [], []
    for arm in ours:
        firsts = [[answer[:1] for answer in side[arm]] for side in (ours, theirs)]
        kinds = sorted(set(firsts[0]) | set(firsts[1]))
        counts = np.array([[side.count(kind) for kind in kinds] for side in firsts])
        rare = counts.sum(axis=0) < 10  # taken together, as the test is one for large counts
        table = np.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1)])
        table = table[:, table.sum(axis=0) > 0]
        tested: Any = chi2_contingency(table) if table.shape[1] > 1 else None
        p_values.append(float(tested.pvalue) if tested else 1.0)
        shares = counts / counts.sum(axis=1, keepdims=True)
        distances.append(float(np.abs(shares[0] - shares[1]).sum() / 2))
    return {
        "mean_tokens": [mean_length(ours), mean_length(theirs)],
        "min_p": min(p_values),
        "max_distance": max(distances),
        "arms": len(ours),
    }


def mean_length(answers: dict[int, Answers]) -> float:
    """Give the mean length of all answers, tokens."""
    return statistics.fmean(len(answer) for group in answers.values() for answer in group)


def measure(shape: Shape, rounds: int, adapters: Path) -> dict[str, Any]:
    """Measure everything; the result is JSON."""
    every = tuple(range(len(shape.ranks)))
    halves = [Place(adapters, shape, every[half::CORES], 1) for half in range(CORES)]
    whole = [Place(adapters, shape, every, CORES)]
    with (
        start(serve_peft, whole) as peft,
        start(serve_ours, halves) as processes,
        start(serve_ours, whole) as threads,
    ):
        setting, tried = choose_setting(peft, shape)
        for pipes in (processes, threads):
            ask(pipes, (False, 0))
        ways = {"processes": processes, "threads": threads}
        seconds: dict[str, list[float]] = {"peft": [], "processes": [], "threads": []}
        sampled: dict[str, dict[int, Answers]] = {}
        for number in range(1, rounds + 1):
            for way, pipes in ways.items():
                taken, sampled[way] = ask(pipes, (False, number))
                seconds[way].append(taken)
            taken, sampled["peft"] = ask(peft, (False, number, setting, every))
            seconds["peft"].append(taken)
            print(
                f"round {number}: " + ", ".join(f"{k} {v[-1]:.2f} s" for k, v in seconds.items()),
                flush=True,
            )
        alone = PeftSetting(setting.prompts_a_batch, merged=False)
        greedy = [ask(processes, (True, 0))[1], ask(peft, (True, 0, alone, every))[1]]
    best = min(ways, key=lambda way: statistics.median(seconds[way]))
    pairs = [pair for arm in every for pair in zip(greedy[0][arm], greedy[1][arm], strict=True)]
    ratios = [theirs / ours for theirs, ours in zip(seconds["peft"], seconds[best], strict=True)]
    return {
        "shape": asdict(shape),
        "seconds": seconds,
        "ours": best,
        "ratios": ratios,
        "peft": asdict(setting),
        "peft_trials": tried,
        "greedy_equal": sum(ours == theirs for ours, theirs in pairs),
        "greedy_answers": len(pairs),
        "agreement": compare(sampled[best], sampled["peft"]),
        "same_answers_in_one_process": sampled["processes"] == sampled["threads"],
    }


def report(result: dict[str, Any], line: str) -> None:
    """Print medians, agreement, and the one line."""
    for name, seconds in result["seconds"].items():
        print(f"{name}: median {statistics.median(seconds):.2f} s of {len(seconds)} rounds")
    print(f"ours is {result['ours']}; peft is {result['peft']}")
    print(f"agreement of samples: {result['agreement']}")
    print(line)


def sum_up(result: dict[str, Any]) -> str:
    """Say the finding in one line."""
    ratio = spread_of(result["ratios"])
    return (
        f"sample_sweep fp32 ratio {ratio.median:.1f} (min {ratio.lowest:.1f}, max "
        f"{ratio.highest:.1f}) over peft, greedy answers equal in {result['greedy_equal']} of "
        f"{result['greedy_answers']}"
    )


def main() -> None:
    """Read the command line, measure, write, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--quick", action="store_true", help="a tiny shape: shows that it runs")
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with tempfile.TemporaryDirectory() as folder:
        shape = QUICK if options.quick else Shape()
        write_adapters(Path(folder), shape)
        result = measure(shape, options.rounds, Path(folder))
    line = sum_up(result)
    print(f"raw figures: {write_results('sample_sweep', result, [line], options.results)}")
    report(result, line)


if __name__ == "__main__":
    main()
