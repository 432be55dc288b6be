"""How large a contrast chance makes where there is no peak, simulated for the design at hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from rankshift.analysis.contrast import Design, compare_blocks

EQUAL_OVER_LEVEL, WORST_OVER_LEVEL = 0.9, 1.3
"""Chances of a false alarm that are aimed at, by the level: with independent errors of one size,
and where ranks differ in variance or neighbours are alike. What is promised is 1 and 1.5 times the
level; the rest is room for the error of the simulation and for noise that is not listed."""

EQUAL_DRAWS = 12_000
UNEQUAL_DRAWS = 4_000
CHUNK = 250
"""Draws that are compared at once: the arrays then stay in the processor's cache."""

SEED = 20_250_617

LOW, HIGH = 1.0, 5.0
"""Spread of the ranks' standard deviations where they differ, as 0.02 to 0.10."""

CORRELATION = 0.5
"""Between neighbouring ranks of one seed, where they are alike."""


@dataclass(frozen=True)
class CriticalValues:
    """What a contrast in standard errors must exceed, one for each claim."""

    peak: float
    """Rise and fall of a block, the smaller of both."""
    change: float
    """Any difference between two blocks, up or down."""
    best: float
    """Another rank above the best one."""


@dataclass(frozen=True)
class Noise:
    """How the errors of one seed behave along the ranks."""

    deviations: tuple[float, ...]
    """Standard deviation at each rank; only their ratios matter."""
    correlation: float
    """Of neighbours: autoregressive of order one."""

    def draw(self, rng: np.random.Generator, draws: int, num_seeds: int) -> np.ndarray:
        """Draw normal errors, `[draw, seed, rank]`."""
        errors = rng.standard_normal((draws, num_seeds, len(self.deviations)))
        fresh = np.sqrt(1 - self.correlation**2)
        for at in range(1, len(self.deviations) if self.correlation else 0):
            errors[..., at] = self.correlation * errors[..., at - 1] + fresh * errors[..., at]
        return errors * np.array(self.deviations)


def list_worst_noise(num_ranks: int) -> list[Noise]:
    """List how errors may misbehave: what no seed count we can afford would let us estimate.

    The mirror images need no entry: steps up and down are both tried.
    """
    at = np.arange(num_ranks)
    middle = (num_ranks // 3 + 1, 2 * num_ranks // 3)
    patterns = {
        "equal": np.full(num_ranks, LOW),
        "rising": np.linspace(LOW, HIGH, num_ranks),
        "half": np.where(at > num_ranks // 2, HIGH, LOW),
        "alternating": np.where(at % 2, HIGH, LOW),
        "two": np.where(np.isin(at, middle), HIGH, LOW),
    }
    return [Noise(tuple(map(float, sd)), CORRELATION) for sd in patterns.values()] + [
        Noise(tuple(map(float, patterns[name])), 0.0) for name in ("half", "two")
    ]


@cache
def find_critical_values(design: Design, level: float) -> CriticalValues:
    """Simulate the critical values of a design, always from the same stream of random numbers.

    The truth that makes a false peak likeliest is a step: up after the first rank, then flat, or
    flat, then down before the last. One half of the contrast is then beyond doubt, and every pair
    of the other ranks may make the other half. For a change and for the best rank it is a flat
    curve. With independent errors of one size a false alarm has at most probability `level`, with
    each of `list_worst_noise` at most 1.5 times that.

    Source: a minimum of two tests needs no correction of its own, Berger 1982, Technometrics 24,
    295-300; the patterns of noise and the allowance for them are ours.
    """
    rng = np.random.default_rng(SEED)
    equal = Noise((LOW,) * design.num_ranks, 0.0)
    found = [_find_quantiles(design, equal, EQUAL_DRAWS, EQUAL_OVER_LEVEL * level, rng)]
    for noise in list_worst_noise(design.num_ranks):
        allowed = WORST_OVER_LEVEL * level
        found.append(_find_quantiles(design, noise, UNEQUAL_DRAWS, allowed, rng))
    return CriticalValues(*np.max(found, axis=0).tolist())


def _find_quantiles(
    design: Design, noise: Noise, draws: int, level: float, rng: np.random.Generator
) -> np.ndarray:
    """Give the quantiles of the three statistics at their worst truth, `[3]`."""
    chunks = [
        np.stack(list(_find_extremes(noise.draw(rng, CHUNK, len(design.filled)), design)))
        for _ in range(draws // CHUNK)
    ]
    quantiles = np.quantile(np.concatenate(chunks, axis=1), 1 - level, axis=1)
    return np.array([quantiles[:2].max(), quantiles[2], quantiles[3:].max(initial=0.0)])


def _find_extremes(errors: np.ndarray, design: Design) -> Iterator[np.ndarray]:
    """Give how large each statistic is in each draw, in standard errors.

    The largest fall after a step up, the largest rise before a step down, the largest change, and
    then for each rank how far another seems to lie above it.
    """
    ratio = compare_blocks(errors, design).ratio
    starts, stops = np.array(design.blocks).T
    left, right = design.pairs.T
    after_first, before_last = starts[left] > 0, stops[right] < design.num_ranks
    yield (-ratio[:, after_first]).max(axis=1, initial=0.0)
    yield ratio[:, before_last].max(axis=1, initial=0.0)
    yield np.abs(ratio).max(axis=1)
    pairs, lefts, rights = design.single_ranks
    for rank in range(design.num_ranks):
        above = ratio[:, pairs[lefts == rank]].max(axis=1, initial=0.0)
        below = -ratio[:, pairs[rights == rank]]
        yield np.maximum(above, below.max(axis=1, initial=0.0))
