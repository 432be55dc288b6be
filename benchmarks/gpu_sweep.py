"""Measure a rank sweep over a base of 7B parameters on one GPU, against what else one could run.

    PYTHONPATH=src PYTORCH_ALLOC_CONF=expandable_segments:True python -m benchmarks.gpu_sweep

Wants one CUDA device of 78 GiB and ten minutes, and of libraries torch, transformers, peft, numpy,
safetensors and filelock. Weights are random: a step's time does not depend on what they say. Each
part prints its line and is written as soon as it is measured, so that a cut leaves what there was.
`--shape tiny` shows on a CPU that everything runs; its figures mean nothing.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

import torch

from benchmarks.gpu_peer import NAMES, Peer, PeerRun, choose_peer, tokens_per_second, train_rank
from benchmarks.gpu_sides import (
    Bench,
    Setting,
    Shape,
    Speed,
    build_model,
    measure_base,
    measure_lock_step,
    read_clock,
    time_forms,
)
from benchmarks.measuring import RESULTS, write_results
from rankshift.model.products import Form
from rankshift.model.traits import find_traits

NAME = "gpu_sweep"
GIB = 2**30
SHAPES = {
    # Source: config.json of Qwen2.5-7B.
    "7b": Shape(
        hidden=3584,
        layers=28,
        heads=28,
        key_heads=4,
        intermediate=18944,
        vocabulary=152064,
        ranks=(2, 4, 8, 16, 32, 64, 128, 256, 512),
        row_tokens=1024,
        arm_tokens=2048,
        form_tokens=(256, 512, 1024, 2048, 4096),
    ),
    "tiny": Shape(
        hidden=64,
        layers=2,
        heads=4,
        key_heads=2,
        intermediate=96,
        vocabulary=128,
        ranks=(2, 8, 16),
        row_tokens=32,
        arm_tokens=48,
        form_tokens=(16, 32),
    ),
}
PARTS = ("ours", "base", "single", "peer", "forms")


@dataclass(frozen=True)
class Bar:
    """What a figure is held against."""

    text: str
    limit: float
    at_least: bool

    def judge(self, value: float) -> str:
        """Say how a value stands to it."""
        reached = value >= self.limit if self.at_least else value <= self.limit
        sign = ">=" if self.at_least else "<="
        return f"{self.text} {value:.2f} ({sign} {self.limit}: {'yes' if reached else 'NO'})"


BARS = {
    "over_peer": Bar("over the peer's defaults", 3.0, at_least=True),
    "over_single": Bar("over the best single runs", 1.3, at_least=True),
    "tax": Bar("LoRA tax", 0.15, at_least=False),
    "peak_gib": Bar("peak GiB", 70.0, at_least=False),
}


@dataclass
class Findings:
    """What is measured so far; None, or empty, where it is not."""

    ours: Speed | None
    base: Speed | None
    single: list[Speed]
    peer: list[PeerRun]


def main() -> None:
    """Measure part by part."""
    options = read_options()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and options.shape != "tiny":
        sys.exit("no CUDA device: only --shape tiny runs without one")
    begin = read_clock(device)
    asked = {name: getattr(options, name) for name in ("ranks", "arm_tokens", "row_tokens")}
    given = {name: value for name, value in asked.items() if value}
    chosen = replace(SHAPES[options.shape], **given)
    bench = Bench(chosen, build_model(chosen, device), device, options.warm_up, options.rounds)
    built = read_clock(device) - begin
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU, means nothing"
    traits = find_traits(bench.model)
    packed = "packed" if traits.packs else "PADDED, for the model does not pack"
    print(f"{card}: built the base in {built:.1f} s; our rows are {packed}", flush=True)
    figures: dict[str, object] = {
        "device": card,
        "shape": asdict(chosen),
        "traits": asdict(traits),
        "options": {key: str(value) for key, value in vars(options).items() if key != "results"},
        "base_build_seconds": built,
    }
    found = Findings(None, None, [], [])
    for name in options.parts.split(","):
        figures[name] = measure_part(name, lambda name=name: MEASURES[name](bench, options, found))
        line = sum_up(found, options.peer, card)
        path = write_results(NAME, figures, [line], options.results)
        print(f"  after {read_clock(device) - begin:.0f} s: {path}", flush=True)
    print(sum_up(found, options.peer, card))


def measure_part(name: str, measure: Callable[[], object]) -> object:
    """Measure a part, or say why not: a kernel may refuse, and the other parts are worth having."""
    try:
        return measure()
    except RuntimeError as error:
        print(f"{name} FAILED: {error}", flush=True)
        return {"failed": str(error).partition("\n")[0]}


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{NAME}")
    parser.add_argument("--shape", choices=list(SHAPES), default="7b", help="of the base")
    parser.add_argument("--ranks", type=read_numbers, help="of the arms, as in 2,16,512")
    parser.add_argument("--arm-tokens", type=int, help="of an arm's step")
    parser.add_argument("--row-tokens", type=int, help="of the longest conversation")
    parser.add_argument("--rounds", type=int, default=5, help="steps that are measured")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before them")
    parser.add_argument(
        "--checkpointing", choices=("both", "on", "off"), default="both", help="of ours: blocks"
    )
    parser.add_argument("--form", choices=get_args(Form), help="of the update; else by trial")
    parser.add_argument("--peer", choices=get_args(Peer), default=choose_peer(), help="the peer")
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure, in this order")
    parser.add_argument("--quick", action="store_true", help="the tiny shape: a smoke test")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    if options.quick:
        options.shape, options.rounds, options.warm_up = "tiny", 1, 1
    return options


def read_numbers(text: str) -> tuple[int, ...]:
    """Read numbers with commas between them."""
    return tuple(int(number) for number in text.split(","))


def list_ways(shape: Shape, checkpointing: str) -> list[list[Setting]]:
    """List how ours can divide a step, for each way the dearest in memory first."""
    arms, few = len(shape.ranks), max(1, len(shape.ranks) // 3)
    again = [Setting(arms, 1, True), Setting(arms, 2, True), Setting(few, 2, True)]
    kept = [Setting(arms, 2, False), Setting(few, 2, False), Setting(1, 2, False)]
    return {"on": [again], "off": [kept], "both": [again, kept]}[checkpointing]


def measure_ours(bench: Bench, options: argparse.Namespace, found: Findings) -> object:
    """Measure the sweep in lock step, and keep the fastest way within the bar of memory."""
    ways = list_ways(bench.shape, options.checkpointing)
    speeds = measure_lock_step(bench, bench.shape.ranks, ways, options.form)
    for speed in speeds:
        print(f"ours, {len(bench.shape.ranks)} arms: {tell(speed)}", flush=True)
    found.ours = choose_speed(speeds)
    return [asdict(speed) for speed in speeds]


def choose_speed(speeds: Sequence[Speed]) -> Speed | None:
    """Give the fastest within the bar of memory, or where none is, the fastest."""
    within = [s for s in speeds if (s.peak_bytes or 0) / GIB <= BARS["peak_gib"].limit]
    return max(within or speeds, key=lambda speed: speed.tokens_per_second, default=None)


def measure_bare(bench: Bench, options: argparse.Namespace, found: Findings) -> object:
    """Measure the bare base, divided as the chosen way of ours is."""
    ways = [setting for way in list_ways(bench.shape, options.checkpointing) for setting in way]
    ours = found.ours
    setting = next((s for s in ways if ours and str(s) == ours.setting), ways[0])
    found.base = measure_base(bench, len(bench.shape.ranks), setting)
    if found.base is None:
        return None
    print(f"base alone, forth and back: {tell(found.base)}", flush=True)
    return asdict(found.base)


def measure_single(bench: Bench, options: argparse.Namespace, found: Findings) -> object:
    """Measure each rank alone, with packed rows; blocks are computed again only where they must."""
    way = [Setting(1, 1, False), Setting(1, 1, True), Setting(1, 2, True)]
    for rank in bench.shape.ranks:
        (speed,) = measure_lock_step(bench, (rank,), [way], options.form) or [None]
        if speed is None:
            print(f"rank {rank} alone does not fit", flush=True)
            found.single.clear()  # a sweep without one of its ranks is another sweep
            return None
        print(f"rank {rank} alone: {tell(speed)}", flush=True)
        found.single.append(speed)
    return [asdict(speed) for speed in found.single]


def measure_peer(bench: Bench, options: argparse.Namespace, found: Findings) -> object:
    """Measure the peer rank by rank."""
    for rank in bench.shape.ranks:
        run = train_rank(bench, options.peer, rank)
        found.peer.append(run)
        print(
            f"{NAMES[options.peer]}, rank {rank}: {1 / run.seconds_per_token:,.0f} tokens/s, "
            f"start-up {run.start_up_seconds:.1f} s beside the base's, {tell_peak(run.peak_bytes)}",
            flush=True,
        )
    return {"peer": NAMES[options.peer], "runs": [asdict(run) for run in found.peer]}


def measure_forms(bench: Bench, options: argparse.Namespace, found: Findings) -> object:
    """Time the forms of the update on the layers of a block."""
    figures = {}
    for tokens in bench.shape.form_tokens:
        by_layer = time_forms(bench, tokens)
        figures[tokens] = by_layer
        counts = {name: count for name, (_, _, count) in bench.shape.projections.items()}
        told = ", ".join(
            f"{form} {1e3 * sum(counts[n] * by_form[form] for n, by_form in by_layer.items()):.2f}"
            for form in ("base", "loop", "grouped")
        )
        by_name = "; ".join(
            f"{name} {by_form['grouped'] / by_form['loop']:.2f}"
            for name, by_form in by_layer.items()
        )
        print(f"T = {tokens}: ms a block {told}; grouped over loop {by_name}", flush=True)
    return figures


MEASURES: Mapping[str, Callable[[Bench, argparse.Namespace, Findings], object]] = {
    "ours": measure_ours,
    "base": measure_bare,
    "single": measure_single,
    "peer": measure_peer,
    "forms": measure_forms,
}
assert tuple(MEASURES) == PARTS


def tell(speed: Speed) -> str:
    """Say how fast steps were."""
    return (
        f"{speed.tokens_per_second:,.0f} tokens/s, {speed.median:.3f} s a step, "
        f"{tell_peak(speed.peak_bytes)} ({speed.setting})"
    )


def tell_peak(peak: int | None) -> str:
    """Say how much memory was used."""
    return "memory not measured" if peak is None else f"peak {peak / GIB:.1f} GiB"


def compare(found: Findings) -> dict[str, float]:
    """Give the figures that bars are for, as far as they are measured."""
    ours, values = found.ours, {}
    if ours is None:
        return values
    if found.peer:
        values["over_peer"] = ours.tokens_per_second / tokens_per_second(found.peer)
    if found.single:
        alone = sum(speed.tokens for speed in found.single) / sum(s.median for s in found.single)
        values["over_single"] = ours.tokens_per_second / alone
    if found.base is not None:
        values["tax"] = ours.median / found.base.median - 1
    if ours.peak_bytes is not None:
        values["peak_gib"] = ours.peak_bytes / GIB
    return values


def sum_up(found: Findings, peer: Peer, card: str) -> str:
    """Say the finding in one line."""
    if found.ours is None:
        return f"{NAME} bf16: ours not measured [{card}]"
    values = compare(found)
    judged = [bar.judge(values[name]) for name, bar in BARS.items() if name in values]
    told = ", ".join([f"ours {found.ours.tokens_per_second:,.0f} tokens/s", *judged])
    return f"{NAME} bf16 {told}; peer: {NAMES[peer]} [{card}]"


if __name__ == "__main__":
    main()
