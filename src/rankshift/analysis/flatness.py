"""Whether differences between ranks are small: shown to be, not merely not seen."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from rankshift.analysis.best import find_single_ranks
from rankshift.analysis.contrast import Comparison, Design


@dataclass(frozen=True)
class Flatness:
    """Whether all ranks lie within a margin that was chosen before anything was seen."""

    margin: float
    """Smallest difference of two rates that would matter."""
    p_value: float
    """Of the truth that two ranks do differ by the margin or more; 1 where two ranks were not
    compared."""
    is_flat: bool


def check_flatness(comparison: Comparison, design: Design, margin: float, level: float) -> Flatness:
    """Test that every two ranks differ by less than the margin.

    Each pair must pass two one-sided tests, and all pairs must pass: such a conjunction keeps the
    level of its parts. A pair's error is the comparison's, with the degrees of freedom of what
    seed and rank effects leave.

    Source: two one-sided tests, Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics
    15, 657-680; all pairs, Berger and Hsu 1996, Statistical Science 11, 283-319.
    """
    differences = find_single_ranks(comparison.difference, design)
    errors = np.abs(find_single_ranks(comparison.error, design))
    above = np.triu_indices(design.num_ranks, k=1)
    p_values = [
        _reject(margin - abs(difference), error, design.degrees)
        for difference, error in zip(differences[above], errors[above], strict=True)
    ]
    p_value = max(p_values)
    return Flatness(margin, p_value, p_value <= level)


def bound_change(
    comparison: Comparison, design: Design, level: float, *, rises: bool
) -> float | None:
    """Give the upper end of the largest rise, or fall, from one rank to a later one.

    Each pair has its own one-sided confidence bound; the largest of them bounds the largest true
    change with at least the confidence of one. None where two ranks were not compared.

    Source: as `check_flatness`.
    """
    sign = 1 if rises else -1
    below = np.tril_indices(design.num_ranks, k=-1)  # row after column: the later minus the earlier
    changes = sign * find_single_ranks(comparison.difference, design)[below]
    errors = np.abs(find_single_ranks(comparison.error, design)[below])
    bound = float(np.max(changes + stats.t.ppf(1 - level, design.degrees) * errors))
    return None if math.isnan(bound) else bound


def _reject(slack: float, error: float, degrees: int) -> float:
    """Give the p-value of a difference that lies so far inside its margin."""
    if math.isnan(slack):
        return 1.0
    if error == 0:
        return 0.0 if slack > 0 else 1.0
    return float(stats.t.sf(slack / error, degrees))
