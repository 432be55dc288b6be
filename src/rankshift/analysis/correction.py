"""A judge's rates put right by its sensitivity and specificity, with what is unsure of both."""

import math
from dataclasses import dataclass

import numpy as np

from rankshift.analysis.accuracy import Accuracy, Tally
from rankshift.analysis.intervals import (
    FEWEST_CLUSTERS,
    LEVEL,
    NOTHING_COUNTED,
    TOO_FEW_CLUSTERS,
    Interval,
)

MISFIT = "the judge errs otherwise here than where it was measured"
"""Said when no draw of 10,000 is a share that can be."""


@dataclass(frozen=True)
class CorrectedShare:
    """A share of answers by the reference, worked out from what a judge said."""

    share: float | None
    """0..1; None where it cannot be worked out."""
    draws: np.ndarray
    """Shares that fit all that was seen, some below 0 or above 1, `[draw]`; NaN where a draw has
    the judge no better than chance."""
    note: str | None = None
    """Why there is no share, or no interval."""

    @property
    def interval(self) -> Interval:
        """Give the interval that holds the middle draws, widened to hold the share.

        A draw that says nothing may lie anywhere, so it counts as 0 below and as 1 above. Draws
        out of range are first moved to its end. Where many lie there, an arm of few calls, what is
        left is a hair's breadth at the end; so the interval also holds the middle of the draws in
        range alone. The second step is ours and only widens.

        Source: Buckland 1984, Biometrics 40(3), 811-817 (percentiles of Monte Carlo draws).
        """
        if self.share is None or self.note is not None:
            return Interval(None, None, self.note or NOTHING_COUNTED)
        says_nothing = np.isnan(self.draws)
        possible = self.draws[(self.draws >= 0) & (self.draws <= 1)]
        if not possible.size and not says_nothing.any():
            return Interval(None, None, MISFIT)
        tail = (1 - LEVEL) / 2
        moved = np.clip(self.draws, 0.0, 1.0)
        lows = [self.share, np.quantile(np.where(says_nothing, 0.0, moved), tail)]
        highs = [self.share, np.quantile(np.where(says_nothing, 1.0, moved), 1 - tail)]
        if possible.size:
            lows.append(np.quantile(possible, tail))
            highs.append(np.quantile(possible, 1 - tail))
        return Interval(float(min(lows)), float(max(highs)))


def correct_tally(called: Tally, accuracy: Accuracy, rng: np.random.Generator) -> CorrectedShare:
    """Work out the share of events from the answers that a judge calls so.

    It holds where the judge errs as often on these answers as on those it was measured on, given
    what they are. The interval carries the sampling of the answers and of the labels alike.

    Args:
        called: One arm's answers; a hit is one that the judge calls an event.
        accuracy: The judge's, measured on labelled answers.
        rng: Draws what is unsure of the share called.
    """
    draws = _draw(called.draw(rng, len(accuracy.draws[0])), accuracy)
    sensitivity, specificity = accuracy.events.share, accuracy.others.share
    if called.share is None or sensitivity is None or specificity is None:
        return CorrectedShare(None, draws, NOTHING_COUNTED)
    if accuracy.fault:
        return CorrectedShare(None, draws, accuracy.fault)
    few = called.num_clusters < FEWEST_CLUSTERS or not accuracy.has_enough_clusters
    share = correct_share(called.share, sensitivity, specificity)
    return CorrectedShare(share, draws, TOO_FEW_CLUSTERS if few else None)


def correct_share(called: float, sensitivity: float, specificity: float) -> float:
    """Give the share of events from the share a judge calls so, both 0..1.

    Source: Rogan and Gladen 1978, American Journal of Epidemiology 107(1), 71-76.
    """
    return min(max((called + specificity - 1) / (sensitivity + specificity - 1), 0.0), 1.0)


def divide(part: CorrectedShare, whole: CorrectedShare) -> CorrectedShare:
    """Give one share out of another that holds it: misaligned answers out of the coherent ones.

    The draws of both are independent although the shares move together, so the interval is
    somewhat wide.
    """
    known = whole.draws > 0
    draws = np.where(known, part.draws / np.where(known, whole.draws, 1.0), math.nan)
    note = part.note or whole.note
    if part.share is None or not whole.share:
        return CorrectedShare(None, draws, note or NOTHING_COUNTED)
    return CorrectedShare(min(part.share / whole.share, 1.0), draws, note)


def _draw(called: np.ndarray, accuracy: Accuracy) -> np.ndarray:
    """Correct draws of the share called, `[draw]`; NaN where the judge tells nothing."""
    sensitivity, specificity = accuracy.draws
    better = sensitivity + specificity - 1
    known = better > 0
    share = (called + specificity - 1) / np.where(known, better, 1.0)
    return np.where(known, share, math.nan)
