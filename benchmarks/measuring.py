"""What every benchmark shares: rounds in turn, medians with their spread, last lines, results.

Both sides are measured in every round, one right after the other, and compared round by round: a
machine that others use too drifts from minute to minute, but little within a round.
"""

import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rankshift.provenance import gather_provenance
from rankshift.records import write_atomically

T = TypeVar("T")

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Spread:
    """What the rounds say of one figure."""

    median: float
    lowest: float
    highest: float


def spread_of(values: Sequence[float]) -> Spread:
    """Give median and range; with as few rounds as these, a range says more than a deviation."""
    return Spread(statistics.median(values), min(values), max(values))


def take_turns(sides: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Measure every side once in every round; give each side's figures, by round."""
    found: dict[str, list[T]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, measure in sides.items():
            found[name].append(measure())
    return found


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


def briefly(value: float) -> str:
    """Write a small number with one digit: 2e-4."""
    digit, _, exponent = f"{value:.0e}".partition("e")
    return f"{digit}e{int(exponent)}" if exponent else digit


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
