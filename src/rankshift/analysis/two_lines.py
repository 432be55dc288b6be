"""Two straight lines over the logarithm of the rank: a description, which decides nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import make_smoothing_spline

FEWEST_RANKS = 5
"""A smoothing spline needs so many."""


@dataclass(frozen=True)
class TwoLines:
    """Slopes on both sides of the highest fitted value, or a note that says why there are none."""

    break_rank: int | None
    left_slope: float | None
    """Change of the rate for each doubling of the rank."""
    right_slope: float | None
    note: str | None = None


def fit_two_lines(ranks: Sequence[int], means: Sequence[float]) -> TwoLines:
    """Fit a line up to the rank with the highest fitted value and one from there on.

    The fit is a cubic smoothing spline over log2 of the rank, its smoothness by generalised
    cross-validation; each line is least squares through the means, the break's included.

    Source: Simonsohn 2018, Advances in Methods and Practices in Psychological Science 1, 538-555.
    His second step, which moves the break to gain power, and his tests are left out.
    """
    if len(ranks) < FEWEST_RANKS:
        return TwoLines(None, None, None, f"fewer than {FEWEST_RANKS} ranks")
    octaves, values = np.log2(np.array(ranks, float)), np.array(means, float)
    at = int(np.argmax(make_smoothing_spline(octaves, values)(octaves)))
    if at in (0, len(ranks) - 1):
        return TwoLines(ranks[at], None, None, "the highest fitted value is at an end")
    left = np.polyfit(octaves[: at + 1], values[: at + 1], 1)[0]
    right = np.polyfit(octaves[at:], values[at:], 1)[0]
    return TwoLines(ranks[at], float(left), float(right))
