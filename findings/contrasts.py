"""A contrast of cells: its value for each seed, its interval on each base and over the bases."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf, sqrt
from statistics import fmean, stdev
from typing import Literal

from scipy.stats import t as student

LEVEL = 0.95
MARGIN = 0.10
"""Smaller differences of rates do not matter; that of studies/what-rank-does.toml."""

Verdict = Literal["above", "below", "within", "undetermined"]


@dataclass(frozen=True)
class Cell:
    """What a finetune is but for its base and seed, and where it is read."""

    rank: int | None
    """None for full finetuning."""
    u: float | None
    """scale x rank x learning rate; None for full finetuning."""
    at: str
    """`end`, or a mark such as `skill 0.9`."""
    optimizer: str = "adamw"
    trains_a: bool = True
    cut_to: int | None = None
    """The rank that the update was cut to after training."""
    names: int = 0
    """Novel names in the task's data."""


Rates = Mapping[Cell, Mapping[tuple[str, int], float]]
"""Rates, 0 to 1, by cell, then by base and seed."""
Weights = Mapping[Cell, float]
"""A contrast: the sum over its cells of weight times rate."""


@dataclass(frozen=True)
class Estimate:
    """A mean with Student's interval for the population that the values were drawn from."""

    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """Say where the interval lies: beyond the margin, within it, or across an edge of it."""
        if self.low > MARGIN:
            return "above"
        if self.high < -MARGIN:
            return "below"
        return "within" if self.low > -MARGIN and self.high < MARGIN else "undetermined"


def estimate_mean(values: Iterable[float]) -> Estimate:
    """Estimate a mean from independent values, at least one; of one value nothing is excluded."""
    found = list(values)
    mean = fmean(found)
    if len(found) == 1:
        return Estimate(mean, -inf, inf)
    quantile = float(student.ppf((1 + LEVEL) / 2, len(found) - 1))
    reach = quantile * stdev(found) / sqrt(len(found))
    return Estimate(mean, mean - reach, mean + reach)


def weigh_cells(rates: Rates, weights: Weights) -> dict[str, list[float]]:
    """Give a contrast's value for every seed of a base that has all its cells, base by base."""
    seeds = set.intersection(*(set(rates.get(cell, ())) for cell in weights))
    found: dict[str, list[float]] = {}
    for base, seed in sorted(seeds):
        value = sum(weight * rates[cell][base, seed] for cell, weight in weights.items())
        found.setdefault(base, []).append(value)
    return found


def estimate_contrast(
    rates: Rates, weights: Weights
) -> tuple[Estimate, dict[str, Estimate]] | None:
    """Estimate a contrast over the bases, which weigh the same, and on each; None without data."""
    values = weigh_cells(rates, weights)
    if not values:
        return None
    bases = {base: estimate_mean(found) for base, found in values.items()}
    return estimate_mean(found.mean for found in bases.values()), bases


def subtract(this: Weights, that: Weights) -> Weights:
    """Give the contrast of one mean of cells less another."""
    return {cell: this.get(cell, 0.0) - that.get(cell, 0.0) for cell in {**this, **that}}


def average(cells: Iterable[Cell]) -> Weights:
    """Give the mean of cells."""
    listed = list(cells)
    return dict.fromkeys(listed, 1 / len(listed))
