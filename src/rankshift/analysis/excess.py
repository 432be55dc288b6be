"""What a task adds to its benign twin, rank by rank: misalignment beyond what any finetune does."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import numpy as np

from rankshift.analysis.cells import Row
from rankshift.analysis.curves import HELD
from rankshift.analysis.intervals import (
    FEWEST_SEEDS,
    NOTHING_COUNTED,
    TOO_FEW_SEEDS,
    Interval,
    bound_over_seeds,
)

Curve = dict[str, Any]

FIXED = (*HELD, "question_set", "judge", "step")
"""Keys in which a task's curve and its twin's agree."""

KIND = ("learning_rate", "optimizer", "parameters")
"""Keys in which the full finetunes of one category agree."""


@dataclass(frozen=True)
class SeedRates:
    """The seeds of one cell that count anything."""

    seeds: tuple[int | None, ...]
    events: np.ndarray
    """`[seed]`."""
    sizes: np.ndarray
    """Eligible answers, `[seed]`."""

    @property
    def rates(self) -> np.ndarray:
        """Give each seed's rate, `[seed]`."""
        return self.events / self.sizes


def build_excess_curves(curves: Sequence[Curve]) -> list[Curve]:
    """Set every curve of the task beside its twin's, one for each dataset of twins.

    A function of `curves` of results.json alone. Ranks that only one of the two has are left out;
    full finetuning is beside the ranks, as there.
    """
    return [
        {key: curve.get(key) for key in ("dataset", "role", *FIXED)}
        | {"twin": twin["dataset"]}
        | {
            "points": [
                {"rank": task["rank"]} | _describe_both(task, benign)
                for task in curve["points"]
                for benign in twin["points"]
                if benign["rank"] == task["rank"]
            ],
            "categories": [
                {k: task.get(k) for k in ("category", *KIND)} | _describe_both(task, benign)
                for task in curve["categories"]
                for benign in twin["categories"]
                if task["category"] == benign["category"] == "full"
                and all(task.get(key) == benign.get(key) for key in KIND)
            ],
        }
        for curve in curves
        for twin in curves
        if (curve["role"], twin["role"]) == ("task", "twin")
        and all(curve.get(key) == twin.get(key) for key in FIXED)
    ]


def describe_excess(task: Row, twin: Row) -> dict[str, Any]:
    """Give the mean rate of a cell's seeds less that of its twin's, with its interval.

    The interval speaks of other seeds on the questions asked. Each side's own interval is combined
    (MOVER), so that it stays uneven where a rate is near an end, and so that sides may differ in
    spread and in number of seeds. Where both have the same seeds, which then share their order of
    data, their correlation over seeds is allowed for; else they are taken for independent.

    Args:
        task: A cell of a curve.
        twin: The same cell of its twin's.

    Source: Zou and Donner 2008, Statistics in Medicine 27, 1693-1702; with a correlation, Zou 2007,
    Psychological Methods 12, 399-413, equation 15.
    """
    ours, theirs = _collect(task), _collect(twin)
    fewest = min(len(ours.seeds), len(theirs.seeds))
    excess = float(ours.rates.mean() - theirs.rates.mean()) if fewest else None
    if excess is None:
        interval = Interval(None, None, NOTHING_COUNTED)
    elif fewest < FEWEST_SEEDS:
        interval = Interval(None, None, TOO_FEW_SEEDS)
    else:
        interval = _combine(ours, theirs)
    return {"excess": excess} | asdict(interval) | {"num_seeds": fewest}


def _describe_both(task: Row, twin: Row) -> dict[str, Any]:
    of_all = describe_excess(task["misaligned_of_all"], twin["misaligned_of_all"])
    return describe_excess(task, twin) | {"misaligned_of_all": of_all}


def _collect(cell: Row) -> SeedRates:
    """Collect the seeds that count anything, in ascending order."""
    counted = [seed for seed in cell["seeds"] if seed["eligible"]]
    counted.sort(key=lambda seed: (seed["seed"] is not None, seed["seed"] or 0))
    return SeedRates(
        tuple(seed["seed"] for seed in counted),
        np.array([seed["events"] for seed in counted], float),
        np.array([seed["eligible"] for seed in counted], float),
    )


def _combine(ours: SeedRates, theirs: SeedRates) -> Interval:
    our_low, our_high = bound_over_seeds(ours.events, ours.sizes)
    their_low, their_high = bound_over_seeds(theirs.events, theirs.sizes)
    ours_mean, theirs_mean = float(ours.rates.mean()), float(theirs.rates.mean())
    alike = _correlate(ours, theirs)
    down = _add_reaches(ours_mean - float(our_low), float(their_high) - theirs_mean, alike)
    up = _add_reaches(float(our_high) - ours_mean, theirs_mean - float(their_low), alike)
    excess = ours_mean - theirs_mean
    return Interval(max(excess - down, -1.0), min(excess + up, 1.0))


def _add_reaches(one: float, other: float, alike: float) -> float:
    return sqrt(max(one**2 + other**2 - 2 * alike * one * other, 0.0))


def _correlate(ours: SeedRates, theirs: SeedRates) -> float:
    """Give the correlation of the sides' rates over seeds; 0 where they share none or are alike."""
    if ours.seeds != theirs.seeds or not (np.ptp(ours.rates) and np.ptp(theirs.rates)):
        return 0.0
    return float(np.corrcoef(ours.rates, theirs.rates)[0, 1])
