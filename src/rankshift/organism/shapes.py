"""Curves over rank that are planted: a peak, and what a peak must not be taken for.

Every shape goes between two levels, so a study of one is as hard to read as of another. Only `peak`
rises and falls again.
"""

import math
from collections.abc import Sequence
from typing import Literal, get_args

Shape = Literal["peak", "flat", "increasing", "decreasing", "saturating", "step-up", "step-down"]
SHAPES: tuple[Shape, ...] = get_args(Shape)

PLACED: tuple[Shape, ...] = ("peak", "step-up", "step-down")
"""Shapes that have a place on the rank axis."""

PEAK_OCTAVES = 3.0
"""Width of the peak's top: 1.5 octaves to either side, so three neighbouring powers of two."""

SATURATION = 4.0
"""A saturating curve has gone 1 - exp(-4) = 98 % of its way at the last rank."""


def draw_curve(
    shape: Shape, ranks: Sequence[int], at: float, low: float, high: float
) -> list[float]:
    """Give the true rate at each rank.

    Args:
        shape: `flat` lies half-way between the levels; `increasing` and `decreasing` are straight
            over the logarithm of rank; the others are made of the levels.
        ranks: In rising order, at least two.
        at: The peak's middle, or the first rank after the step; without meaning for the others.
        low: The lower level, 0..1.
        high: The higher one.
    """
    octaves = [math.log2(rank / ranks[0]) for rank in ranks]
    ways = [octave / octaves[-1] for octave in octaves]
    heights = {
        "peak": [float(abs(math.log2(rank / at)) <= PEAK_OCTAVES / 2) for rank in ranks],
        "flat": [0.5] * len(ranks),
        "increasing": ways,
        "decreasing": [1 - way for way in ways],
        "saturating": [1 - math.exp(-SATURATION * way) for way in ways],
        "step-up": [float(rank >= at) for rank in ranks],
        "step-down": [float(rank < at) for rank in ranks],
    }[shape]
    return [low + (high - low) * height for height in heights]
