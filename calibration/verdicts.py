"""How often a peak is found where there is none and where there is one.

`python -m calibration.verdicts [--repetitions 1000]` prints the tables, then one line for each
truth; the exit status is 1 where a bar is missed by more than two Monte Carlo standard errors.
"""

import argparse
import itertools
import json
import math
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from calibration.curves import (
    OCTAVES_GRID,
    POST_GRID,
    SHORT_GRID,
    Draw,
    draw_equal,
    list_disturbances,
    list_peakless,
    list_peaks,
)
from calibration.simple_contrast import find_simple_critical, find_simple_statistic
from rankshift.analysis.contrast import Design, compare_blocks
from rankshift.analysis.critical import Noise, find_critical_values
from rankshift.analysis.detection import find_contrast
from rankshift.analysis.flatness import check_flatness
from rankshift.analysis.peak import find_peak
from rankshift.inference import Analysis

RESULTS = Path(__file__).parent / "results/verdicts.json"
SEEDS = (3, 5, 10)
RULES = Analysis()
BARS = {"equal": 0.05, "worst": 0.075}
POWER_BAR = 0.9
POWER_AT = ((0.04, 5), (0.05, 10))
"""Standard deviation of seed x rank and seeds for which the bar on power holds."""
DEVIATIONS = tuple(round(0.01 * at, 2) for at in range(2, 11))
CHUNK = 250


@dataclass(frozen=True)
class Share:
    """How often something was found, in one case."""

    truth: str
    noise: str
    kind: str
    seeds: int
    ranks: int
    found: float
    simple: float
    """The same for the contrast of a block with single ranks, see `simple_contrast`."""

    def error(self, repetitions: int) -> float:
        """Give the Monte Carlo standard error."""
        return math.sqrt(max(self.found * (1 - self.found), 1 / repetitions) / repetitions)


def main() -> int:
    """Simulate, print, write; give the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    n = asked.repetitions
    alarms = list(simulate_alarms(n))
    power = list(simulate_power(n))
    verdicts = simulate_verdicts(max(n // 4, 1))
    flat = simulate_flatness(n)
    content = {
        "repetitions": n,
        "false_alarms": [asdict(share) for share in alarms],
        "power": [asdict(share) for share in power],
        "verdicts": verdicts,
        "flat_at_the_margin": flat,
    }
    asked.results.parent.mkdir(exist_ok=True)
    asked.results.write_text(json.dumps(content) + "\n", encoding="utf-8")
    _print_power_curve(power)
    _print_verdicts(verdicts)
    print("flat, though the ends differ by the margin: noise, seeds, share")
    for case in flat:
        print(*case.values(), sep="; ")
    missed = [*print_alarms(alarms, n), *print_power(power, n)]
    for line in missed:
        print(f"MISSED: {line}", file=sys.stderr)
    return 1 if missed else 0


def simulate_alarms(repetitions: int) -> Iterator[Share]:
    """Simulate every truth without a peak, under every noise, for each number of seeds."""
    for grid in (OCTAVES_GRID, SHORT_GRID):
        for truth, curve in list_peakless(len(grid)).items():
            print(f"{len(grid)} ranks, {truth}", file=sys.stderr, flush=True)
            for noise in list_disturbances(len(grid)):
                for seeds in SEEDS:
                    name = truth + noise.name
                    found, simple = count_found(curve, seeds, noise.draw, repetitions, name)
                    yield Share(truth, noise.name, noise.kind, seeds, len(grid), found, simple)


def simulate_power(repetitions: int) -> Iterator[Share]:
    """Simulate peaks three octaves wide and 10 points high over the errors' size."""
    for name, grid in (("", OCTAVES_GRID), ("-post", POST_GRID)):
        for truth, curve in list_peaks(grid).items():
            for deviation in DEVIATIONS:
                for seeds in SEEDS:
                    draw = draw_equal(deviation, len(grid))
                    told = f"{deviation:.2f}"
                    found, simple = count_found(curve, seeds, draw, repetitions, truth + told)
                    yield Share(truth + name, told, "equal", seeds, len(grid), found, simple)


def count_found(
    curve: np.ndarray, seeds: int, draw: Draw, repetitions: int, name: str
) -> tuple[float, float]:
    """Give the shares of repetitions in which our contrast and the simple one call a peak."""
    design = make_design(seeds, len(curve))
    critical = find_critical_values(design, RULES.level).peak
    simple = find_simple_critical(seeds, len(curve), RULES.widest_block, RULES.level)
    rng = np.random.default_rng([zlib.crc32(name.encode()), seeds, len(curve), repetitions])
    called = simply_called = 0
    for start in range(0, repetitions, CHUNK):
        size = min(CHUNK, repetitions - start)
        values, noise = draw(rng, size, np.tile(curve, (seeds, 1)))
        called += int((find_statistics(values, noise, design) > critical).sum())
        found = find_simple_statistic(values, RULES.widest_block)
        simply_called += int((found > simple).sum())
    return called / repetitions, simply_called / repetitions


def find_statistics(values: np.ndarray, noise: np.ndarray | None, design: Design) -> np.ndarray:
    """Give the statistic of `find_peak` for each draw."""
    return find_contrast(compare_blocks(values, design, noise).ratio, design).max(axis=-1)


def make_design(seeds: int, ranks: int) -> Design:
    """Give a design in which every seed has every rank."""
    return Design(((True,) * ranks,) * seeds, RULES.widest_block)


def simulate_verdicts(repetitions: int) -> list[dict[str, object]]:
    """Count all five verdicts of `find_peak` and how often the best rank is in its set."""
    found = []
    grid = OCTAVES_GRID
    truths = list_peakless(len(grid)) | list_peaks(grid)
    noises = [n for n in list_disturbances(len(grid)) if n.name in ("equal", "rising, AR 0.5")]
    for truth, noise, seeds in itertools.product(truths, noises, SEEDS):
        curve = truths[truth]
        rng = np.random.default_rng([zlib.crc32(f"{truth}{noise.name}".encode()), seeds])
        values, _ = noise.draw(rng, repetitions, np.tile(curve, (seeds, 1)))
        peaks = [find_peak(one, grid, RULES) for one in values]
        counts = Counter(peak.verdict for peak in peaks)
        best = [rank for rank, rate in zip(grid, curve, strict=True) if rate == curve.max()]
        held = [np.mean([rank in peak.confidence_set for peak in peaks]) for rank in best]
        found.append(
            {"truth": truth, "noise": noise.name, "seeds": seeds}
            | {"verdicts": {name: count / repetitions for name, count in counts.items()}}
            | {"best_in_set": float(min(held))}
            | {"ranks_in_set": float(np.mean([len(peak.confidence_set) for peak in peaks]))}
        )
    return found


def simulate_flatness(repetitions: int) -> list[dict[str, object]]:
    """Count `flat` where first and last rank differ by the margin and the others lie between."""
    num_ranks = len(OCTAVES_GRID)
    at = np.arange(num_ranks)
    curve = np.where(at == 0, 0.2, np.where(at == num_ranks - 1, 0.3, 0.25))
    ends = np.where(np.isin(at, (0, num_ranks - 1)), 0.03, 0.006)
    patterns = {"equal": np.full(num_ranks, 0.02), "rising": np.linspace(0.006, 0.03, num_ranks)}
    found = []
    for name, deviations in (patterns | {"wild ends": ends}).items():
        for correlation, seeds in itertools.product((0.0, 0.5), SEEDS):
            rng = np.random.default_rng([zlib.crc32(name.encode()), seeds, int(10 * correlation)])
            noise = Noise(tuple(deviations.tolist()), correlation)
            design = make_design(seeds, num_ranks)
            called = [
                check_flatness(
                    compare_blocks(curve + one, design), design, RULES.margin, RULES.level
                ).is_flat
                for one in noise.draw(rng, repetitions, seeds)
            ]
            told = f"{name}, AR {correlation:g}"
            found.append({"noise": told, "seeds": seeds, "flat": float(np.mean(called))})
    return found


def _print_power_curve(power: list[Share]) -> None:
    for truth in dict.fromkeys(share.truth for share in power):
        print(f"power, {truth} of 10 points, 3 octaves wide, over the SD of seed x rank")
        print("seeds  " + "  ".join(f"{deviation:.2f}" for deviation in DEVIATIONS))
        for seeds in SEEDS:
            row = [s.found for s in power if (s.truth, s.seeds) == (truth, seeds)]
            print(f"{seeds:5d}  " + "  ".join(f"{found:.2f}" for found in row))


def _print_verdicts(verdicts: list[dict[str, object]]) -> None:
    print("verdicts, 11 ranks: truth, noise, seeds, shares, best rank in its set, ranks in it")
    for case in verdicts:
        print(*case.values(), sep="; ")


def print_alarms(alarms: list[Share], repetitions: int) -> Iterator[str]:
    """Print the worst case of each truth and kind; give those that miss their bar."""
    for share in alarms:
        if share.found - 2 * share.error(repetitions) > BARS[share.kind]:
            yield f"false alarms {share}"
    for kind in BARS:
        for truth in dict.fromkeys(share.truth for share in alarms if share.kind == kind):
            cases = [s for s in alarms if (s.truth, s.kind) == (truth, kind)]
            worst = max(cases, key=lambda share: share.found)
            simple = max(share.simple for share in cases)
            print(
                f"# {kind}: at most {worst.found:.3f} +- {worst.error(repetitions):.3f} "
                f"({worst.noise}, {worst.seeds} seeds, {worst.ranks} ranks); simple {simple:.3f}"
            )
            print(f"false_alarm {truth}-{kind} {worst.found:.3f}")


def print_power(power: list[Share], repetitions: int) -> Iterator[str]:
    """Print power where there is a bar on it; give what misses it."""
    for deviation, seeds in POWER_AT:
        for share in power:
            if (share.noise, share.seeds) != (f"{deviation:.2f}", seeds):
                continue
            if share.found + 2 * share.error(repetitions) < POWER_BAR:
                yield f"power {share}"
            print(f"# SD {deviation}, {seeds} seeds; simple {share.simple:.3f}")
            print(f"power {share.truth}-{deviation}-{seeds}-seeds {share.found:.3f}")


if __name__ == "__main__":
    sys.exit(main())
