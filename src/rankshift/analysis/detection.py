"""How high a peak must be for a design to see it, in standard deviations of one value."""

from collections.abc import Sequence
from functools import cache

import numpy as np

from rankshift.analysis.contrast import Design, compare_blocks
from rankshift.analysis.critical import CHUNK, SEED, find_critical_values

POWER = 0.8
"""How often a peak that counts as visible is found."""

OCTAVES = 3.0
"""Width of the peak at half its height, in doublings of the rank."""

DRAWS = 1_500
HIGHEST = 32.0
"""In standard deviations: where not even this is seen, nothing is."""


def shape_peak(ranks: Sequence[int]) -> np.ndarray:
    """Give a bell over log2 of the rank, 1 at the middle rank and 1/2 at 1.5 octaves from it."""
    octaves = np.log2(np.array(ranks, float))
    away = (octaves - octaves[len(ranks) // 2]) / (OCTAVES / 2)
    return np.exp2(-np.square(away))


def find_contrast(ratio: np.ndarray, design: Design) -> np.ndarray:
    """Give for each block the smaller of its largest rise and its largest fall, `[..., block]`.

    The rise is from a block to its left and the fall to one to its right, both in standard errors;
    a block that lacks one of the sides has minus infinity.

    Args:
        ratio: Right minus left block in standard errors, `[..., pair]`.
        design: Says which pairs they are.
    """
    left, right = design.pairs.T
    shape = (*ratio.shape[:-1], len(design.blocks))
    rise, fall = np.full(shape, -np.inf), np.full(shape, -np.inf)
    for block in range(len(design.blocks)):
        if (right == block).any() and (left == block).any():
            rise[..., block] = ratio[..., right == block].max(axis=-1)
            fall[..., block] = -ratio[..., left == block].min(axis=-1)
    return np.minimum(rise, fall)


@cache
def find_smallest_height(design: Design, ranks: tuple[int, ...], level: float) -> float | None:
    """Give the height that a design finds with a power of 80 %, None where it finds none.

    In standard deviations of one value, seed and rank effects taken out; errors independent and of
    one size, the peak as in `shape_peak`. By bisection over the same draws, so that power grows
    with the height but for what chance leaves.
    """
    rng = np.random.default_rng(SEED)
    critical, shape = find_critical_values(design, level).peak, shape_peak(ranks)
    size = (len(design.filled), design.num_ranks)
    draws = [rng.standard_normal((CHUNK, *size)) for _ in range(DRAWS // CHUNK)]

    def find_power(height: float) -> float:
        seen = [
            find_contrast(compare_blocks(noise + height * shape, design).ratio, design).max(axis=-1)
            > critical
            for noise in draws
        ]
        return float(np.mean(seen))

    low, high = 0.0, HIGHEST
    if find_power(high) < POWER:
        return None
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (low, middle) if find_power(middle) >= POWER else (middle, high)
    return high
