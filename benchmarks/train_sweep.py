"""Train one LoRA sweep here and with TRL and PEFT: how much longer does the peer take?

    make bench, or: .venv/bin/python -m benchmarks.train_sweep

Nine ranks, one seed, all seven projections of the organism's base; the same rows in the same order,
the same first adapters, the same recipe. Time runs from the first to the last optimizer step: ours
in two single-threaded processes that share the arms, the peer's rank by rank with two threads.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.limit import count_operations, measure_rate
from benchmarks.measuring import (
    RESULTS,
    briefly,
    last_line,
    ratios,
    spread_of,
    take_turns,
    warn_of_others,
    write_results,
)
from benchmarks.ours import run_ours
from benchmarks.parity import held_out_losses, largest_difference
from benchmarks.peer import choose_best, default_setting, run_peer
from benchmarks.sweep import DTYPE_NAMES, RANKS, TORCH_DTYPES, Run, Sweep, make_sweep

NAME = "train_sweep"
PROCESSES = 2
PARITY_BAR = {"fp32": 1e-3}
"""Largest relative difference of held-out loss at which the two sides count as the same training.
In bf16 the two round at other places, so it is told and not judged."""


@dataclass(frozen=True)
class Limit:
    """What the machine would allow at best."""

    operations: float
    """Of the whole sweep."""
    rate: float
    """Operations per second of all cores in one plain product."""

    @property
    def seconds(self) -> float:
        """The shortest possible time."""
        return self.operations / self.rate


def main() -> None:
    """Measure, print, and write the results."""
    options = read_options()
    asked = {name: str(value) for name, value in vars(options).items() if name != "results"}
    figures: dict[str, object] = {"options": asked}
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        sweep = make_sweep(options.ranks, options.steps, Path(folder))
        rates = {name: measure_rate(dtype, PROCESSES) for name, dtype in TORCH_DTYPES.items()}
        figures["operations_per_second"] = rates
        for dtype in options.dtypes.split(","):
            found, told = measure_dtype(sweep, dtype, options, rates[dtype])
            figures[dtype] = found
            lines += told
    told = ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in rates.items())
    print(f"this machine's matrix products, {PROCESSES} processes x 1 thread: {told}")
    print(f"raw figures: {write_results(NAME, figures, lines, options.results)}\n")
    print(*lines, sep="\n")


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{NAME}")
    parser.add_argument("--steps", type=int, default=10, help="optimizer steps of every arm")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is measured")
    parser.add_argument("--dtypes", default="fp32,bf16", help=f"some of {','.join(TORCH_DTYPES)}")
    parser.add_argument(
        "--one-process", action="store_true", help="also ours as 1 process, 2 threads"
    )
    parser.add_argument(
        "--quick", action="store_true", help="2 ranks, 2 steps, 1 round: a smoke test"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    options.ranks = RANKS
    if options.quick:
        options.ranks, options.steps, options.rounds = RANKS[:2], 2, 1
    return options


def measure_dtype(
    sweep: Sweep, dtype: str, options: argparse.Namespace, rate: float
) -> tuple[dict[str, object], list[str]]:
    """Compare both sides in one dtype; give all raw figures and the last lines."""
    best = choose_best(sweep, dtype)
    settings = [best, default_setting(best)]
    sides: dict[str, Callable[[], Run]] = {
        "ours": lambda: run_ours(sweep, dtype, PROCESSES, threads=1)
    }
    for setting in settings:
        sides[setting.name] = lambda setting=setting: run_peer(sweep, setting)
    if options.one_process:
        sides["ours, 1 process"] = lambda: run_ours(sweep, dtype, 1, threads=PROCESSES)
    autocast = "autocast" if best.autocast else "no autocast"
    print(
        f"{dtype}: the peer at its best has {best.weights} weights, {autocast}, and threads that "
        f"wait by the policy '{best.wait_policy}'"
    )
    turns = take_turns(sides, options.rounds)
    runs = turns.by_side
    seconds = {side: [run.seconds for run in found] for side, found in runs.items()}
    against = {side: ratios(seconds["ours"], seconds[side]) for side in sides if side != "ours"}
    losses = {side: held_out_losses(sweep, side) for side in ("ours", *(s.name for s in settings))}
    operations = count_operations(sweep, DTYPE_NAMES[dtype]).total
    limit = Limit(operations * sweep.training.steps, rate)
    typical = {side: spread_of(values).median for side, values in seconds.items()}
    console = Console(width=120)
    console.print(tabulate_times(dtype, runs, against))
    console.print(tabulate_losses(losses))
    console.print(
        describe_limit(limit, typical["ours"], {s.name: typical[s.name] for s in settings})
    )
    parities = {s.name: largest_difference(losses["ours"], losses[s.name]) for s in settings}
    judge_parity(console, dtype, parities)
    lines = [
        last_line(NAME, dtype, spread_of(against[s.name]), s.name, parities[s.name])
        + warn_of_others(turns.others_cores.values())
        for s in settings
    ]
    figures: dict[str, object] = {
        "runs": {side: [asdict(run) for run in found] for side, found in runs.items()},
        "others_cores": turns.others_cores,
        "ratios": against,
        "settings": [asdict(setting) for setting in settings],
        "held_out_losses": losses,
        "largest_relative_differences": parities,
        "limit": asdict(limit) | {"seconds": limit.seconds},
    }
    return figures, lines


def tabulate_times(
    dtype: str, runs: dict[str, list[Run]], against: dict[str, list[float]]
) -> Table:
    """Show what each side took, and how many times ours that is."""
    table = Table(title=f"{dtype}: seconds from the first to the last optimizer step")
    for heading in (
        "side",
        "median",
        "min",
        "max",
        "over ours",
        "min",
        "max",
        "core-seconds",
        "start-up",
    ):
        table.add_column(heading, justify="left" if heading == "side" else "right")
    for side, found in runs.items():
        seconds = spread_of([run.seconds for run in found])
        start_up = spread_of([run.start_up_seconds for run in found]).median
        core_seconds = spread_of([run.core_seconds for run in found]).median
        ratio = spread_of(against.get(side, [1.0]))
        table.add_row(
            side,
            *(f"{value:.2f}" for value in (seconds.median, seconds.lowest, seconds.highest)),
            *(f"{value:.2f}" for value in (ratio.median, ratio.lowest, ratio.highest)),
            f"{core_seconds:.1f}",
            f"{start_up:.1f}",
        )
    return table


def tabulate_losses(losses: dict[str, dict[int, float]]) -> Table:
    """Show the held-out loss of every rank as each side left it."""
    table = Table(title="held-out loss at the end, nats a token, read by peft and measured in fp32")
    table.add_column("side")
    for rank in losses["ours"]:
        table.add_column(str(rank), justify="right")
    for side, by_rank in losses.items():
        table.add_row(side, *(f"{loss:.5f}" for loss in by_rank.values()))
    return table


def describe_limit(limit: Limit, ours: float, peers: dict[str, float]) -> str:
    """Say what the machine would allow, how near we are, and how far ahead that could ever be."""
    told = (
        f"limit: {limit.operations / 1e9:.0f} GFLOP of products with weights at a measured "
        f"{limit.rate / 1e9:.0f} GFLOP/s take {limit.seconds:.2f} s; ours reaches "
        f"{limit.seconds / ours:.0%} of that rate"
    )
    for name, seconds in peers.items():
        told += f"; at the limit the ratio over {name} would be {seconds / limit.seconds:.1f}"
    return told


def judge_parity(console: Console, dtype: str, parities: dict[str, float]) -> None:
    """Say so where the two sides did not learn the same."""
    bar = PARITY_BAR.get(dtype)
    for side, parity in parities.items():
        if bar is not None and parity > bar:
            console.print(f"NOT THE SAME TRAINING: {side} differs by {briefly(parity)} > {bar}")


if __name__ == "__main__":
    main()
