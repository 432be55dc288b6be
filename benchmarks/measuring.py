"""What every benchmark shares: rounds in turn, medians with their spread, last lines, results.

Both sides are measured in every round, one right after the other, and compared round by round: a
machine that others use too drifts from minute to minute, but little within a round.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from rankshift.atomic import write_atomically
from rankshift.provenance import gather_provenance

T = TypeVar("T")

RESULTS = Path(__file__).parent / "results"
STAT = Path("/proc/stat")
QUIET_CORES = 0.2
"""What a machine computes for its own upkeep stays below this."""


@dataclass(frozen=True)
class Spread:
    """What the rounds say of one figure."""

    median: float
    lowest: float
    highest: float


def spread_of(values: Sequence[float]) -> Spread:
    """Give median and range; with as few rounds as these, a range says more than a deviation."""
    return Spread(statistics.median(values), min(values), max(values))


@dataclass
class Turns(Generic[T]):
    """What was measured, a list by round for each side."""

    by_side: dict[str, list[T]]
    others_cores: dict[str, list[float]]
    """How many cores computed for somebody else meanwhile: not far from 0, or times mean little."""


def take_turns(sides: Mapping[str, Callable[[], T]], rounds: int) -> Turns[T]:
    """Measure every side once in every round, and say how quiet the machine was."""
    turns: Turns[T] = Turns({name: [] for name in sides}, {name: [] for name in sides})
    for number in range(1, rounds + 1):
        for name, measure in sides.items():
            begin, (busy, own) = clock(), read_core_seconds()
            turns.by_side[name].append(measure())
            seconds, (busy_then, own_then) = clock() - begin, read_core_seconds()
            others = max(0.0, busy_then - busy - (own_then - own)) / seconds
            turns.others_cores[name].append(others)
            print(f"round {number} of {rounds}: {name}; others used {others:.1f} cores", flush=True)
    return turns


def clock() -> float:
    """Give the seconds of a clock that all processes of this machine share."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def read_core_seconds() -> tuple[float, float]:
    """Give the seconds that all cores have computed, and those of this process and its children.

    Both count from a start of their own and only children that have ended; zero where Linux does
    not say.
    """
    mine = os.times()
    try:
        ticks = STAT.read_text(encoding="utf-8").splitlines()[0].split()[1:]
    except OSError:
        return 0.0, 0.0
    user, nice, system, _idle, _wait, interrupts, soft_interrupts = map(int, ticks[:7])
    busy = (user + nice + system + interrupts + soft_interrupts) / os.sysconf("SC_CLK_TCK")
    return busy, mine.user + mine.system + mine.children_user + mine.children_system


def ratios(ours: Sequence[float], peers: Sequence[float]) -> list[float]:
    """Give how many times as long the peer took, round by round."""
    return [peer / own for own, peer in zip(ours, peers, strict=True)]


def last_line(name: str, dtype: str, ratio: Spread, peer: str, parity: float) -> str:
    """Say the finding in the one line that `make bench` shows at its end.

    Args:
        name: Of the benchmark.
        dtype: Of both sides' arithmetic.
        ratio: The peer's time over ours.
        peer: The peer and its setting.
        parity: Largest relative difference between the two sides' outcomes.
    """
    span = f"(min {ratio.lowest:.1f}, max {ratio.highest:.1f})"
    return f"{name} {dtype} ratio {ratio.median:.1f} {span} over {peer}, parity {briefly(parity)}"


def warn_of_others(others_cores: Iterable[Sequence[float]]) -> str:
    """Say at a last line's end that others used the machine; nothing where it was quiet."""
    most = max(cores for rounds in others_cores for cores in rounds)
    return f" [NOT QUIET: others used up to {most:.1f} cores]" if most > QUIET_CORES else ""


def briefly(value: float) -> str:
    """Write a small number with one digit: 2e-4."""
    digit, _, exponent = f"{value:.0e}".partition("e")
    return f"{digit}e{int(exponent)}" if exponent else digit


def write_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Give the lines of a Markdown table, ready for docs/results.md."""
    return ["| " + " | ".join(cells) + " |" for cells in (headings, ["---"] * len(headings), *rows)]


def write_results(
    name: str, figures: dict[str, object], last_lines: list[str], folder: Path = RESULTS
) -> Path:
    """Write all raw figures of a benchmark with what they were made with."""
    content = {
        "benchmark": name,
        "last_lines": last_lines,
        "figures": figures,
        "provenance": gather_provenance(),
    }
    path = folder / f"{name}.json"
    write_atomically(path, json.dumps(content, indent=2) + "\n")
    return path


def read_last_lines(names: Sequence[str], folder: Path = RESULTS) -> list[str]:
    """Give the last lines of several benchmarks, in the order of the names."""
    contents = [json.loads((folder / f"{n}.json").read_text(encoding="utf-8")) for n in names]
    return [line for content in contents for line in content["last_lines"]]


if __name__ == "__main__":
    print(*read_last_lines(sys.argv[1:]), sep="\n")
