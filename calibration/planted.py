"""Does the whole pipeline find the peaks that were planted, and none where there is none?

    .venv/bin/python -m calibration.planted [--builds 25] [--answers 10] [--keep DIR] [--out FILE]

Each build makes adapters over the organism whose true rates are known (docs/planted.md), and hands
their study to `rankshift run` in a process of its own: it loads the adapters, samples answers, has
the oracle judge them, and analyses. What is found is `peak.verdict` and the middle of `peak.block`.
One build in five is a peak. Exit code 1 where fewer peaks are found than planted, or more than one
non-peak in 20 is called a peak.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean
from time import monotonic
from typing import Any

from rankshift.organism.planted import RANKS, Plant, size_contrast, write_planted

BUILDS = 25
LEAST_CONTRAST = 6.0
"""Standard errors of the design: from there on a peak must be found."""

PEAKS_AT = (4, 16, 64, 8, 32)
NON_PEAKS: tuple[dict[str, Any], ...] = (
    {"shape": "flat"},
    {"shape": "increasing"},
    {"shape": "decreasing"},
    {"shape": "saturating"},
    {"shape": "step-up", "at": 16},
    {"shape": "step-down", "at": 16},
    {"shape": "step-up", "at": 64},
    {"shape": "step-down", "at": 4},
)
"""In turn: a step that is low for most ranks, then flat, is the hardest to tell from a peak."""


@dataclass(frozen=True)
class Outcome:
    """What was planted and what was found."""

    name: str
    at: int | None
    """Of a planted peak; None where no peak was planted."""
    verdict: str | None
    """None where the analysis gives none."""
    block: list[int] | None
    """The ranks that stand out."""
    highest_rank: int
    worst_error: float
    """Largest distance of a rank's mean over seeds from the planted curve."""
    contrast: float | None
    seconds: float

    @property
    def found_at(self) -> float | None:
        """Give the middle of the peak that is claimed, on the logarithm of rank."""
        if self.verdict != "peak" or not self.block:
            return None
        return 2 ** fmean(math.log2(rank) for rank in self.block)

    @property
    def is_right(self) -> bool:
        """Say whether a planted peak is found within one octave, or no peak where none is."""
        if self.at is None:
            return self.verdict is not None and self.verdict != "peak"
        found = self.found_at
        return found is not None and abs(math.log2(found / self.at)) <= 1


def list_plants(first_seed: int, **settings: Any) -> Iterator[Plant]:
    """List builds without end: a peak, then four non-peaks, each with a seed of its own."""
    peaks = non_peaks = 0
    seed = first_seed
    while True:
        yield Plant("peak", seed, PEAKS_AT[peaks % len(PEAKS_AT)], **settings)
        for other in range(1, 5):
            chosen = NON_PEAKS[non_peaks % len(NON_PEAKS)]
            yield Plant(seed=seed + other, **chosen, **settings)
            non_peaks += 1
        peaks, seed = peaks + 1, seed + 5


def run_build(plant: Plant, keep: Path | None) -> Outcome:
    """Plant, run the study by the command line, and read what it says.

    Args:
        plant: What is planted.
        keep: Folder in which finished runs stay; one that is there is summed up again, and not
            asked again. None keeps nothing.

    Raises:
        RuntimeError: The run failed; holds what it said.
    """
    started = monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) if keep is None else keep.resolve()
        run = root / "runs" / plant.name
        if (run / "results.json").is_file():
            arguments = ["report", str(run)]
        else:
            arguments = ["run", str(write_planted(Path(folder) / "plant", plant))]
        root.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "rankshift.cli", *arguments]
        same_code = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        ended = subprocess.run(
            command, cwd=root, env=same_code, capture_output=True, text=True, check=False
        )
        if ended.returncode:
            raise RuntimeError(f"{plant.name}: {ended.stderr.strip()}")
        results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return read_outcome(plant, results, monotonic() - started)


def read_outcome(plant: Plant, results: dict[str, Any], seconds: float) -> Outcome:
    """Read the verdict of a finished study and how far its curve is from the planted one."""
    (curve,) = results["curves"]
    rates = {point["rank"]: point["rate"] for point in curve["points"]}
    peak = results["peak"] or {}
    return Outcome(
        name=plant.name,
        at=plant.at if plant.shape == "peak" else None,
        verdict=peak.get("verdict"),
        block=peak.get("block"),
        highest_rank=max(rates, key=lambda rank: rates[rank]),
        worst_error=max(abs(rates[rank] - true) for rank, true in plant.curve.items()),
        contrast=size_contrast(plant),
        seconds=round(seconds, 1),
    )


def describe(outcome: Outcome) -> str:
    """Say in one line what was planted and what was found."""
    contrast = "" if outcome.contrast is None else f" ({outcome.contrast:.1f} standard errors)"
    found = outcome.found_at
    place = "" if found is None else f" at {found:.1f}"
    return (
        f"{'ok ' if outcome.is_right else 'BAD'} {outcome.name}{contrast}: {outcome.verdict}{place}"
        f", highest mean at {outcome.highest_rank}, worst error of a mean "
        f"{outcome.worst_error:.3f}, {outcome.seconds:.0f} s"
    )


def sum_up(outcomes: Sequence[Outcome]) -> tuple[list[str], bool]:
    """Give the last lines, and whether the promise is kept."""
    peaks = [outcome for outcome in outcomes if outcome.at is not None]
    others = [outcome for outcome in outcomes if outcome.at is None]
    found = sum(outcome.is_right for outcome in peaks)
    called = sum(outcome.verdict == "peak" for outcome in others)
    silent = any(outcome.verdict is None for outcome in outcomes)
    lines = [
        f"planted_peaks found {found} of {len(peaks)} within one octave",
        f"planted_non_peaks called peaks {called} of {len(others)}",
    ]
    return lines, found == len(peaks) and called <= len(others) / 20 and not silent


def main() -> int:
    """Build, run and print; the last lines say how often the analysis was right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--builds", type=int, default=BUILDS, help="a fifth of them are peaks")
    parser.add_argument("--answers", type=int, default=10, help="to each of the 24 questions")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ranks", type=int, nargs="+", default=list(RANKS))
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="also write what was found, as JSON")
    parser.add_argument("--keep", type=Path, help="keep runs here; summed up again if there")
    chosen = parser.parse_args()
    plants = list_plants(
        chosen.first_seed,
        ranks=tuple(chosen.ranks),
        num_seeds=chosen.seeds,
        answers=chosen.answers,
    )
    outcomes = []
    for plant in islice(plants, chosen.builds):
        contrast = size_contrast(plant)
        assert contrast is None or contrast >= LEAST_CONTRAST, f"{plant.name}: {contrast:.1f}"
        outcomes.append(run_build(plant, chosen.keep))
        print(describe(outcomes[-1]), flush=True)
    lines, kept = sum_up(outcomes)
    print(*lines, sep="\n")
    if chosen.out:
        found = [asdict(outcome) for outcome in outcomes]
        content = {"command": "python -m calibration.planted", "last_lines": lines, "builds": found}
        chosen.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
