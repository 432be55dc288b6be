"""Is there a peak? One primary test decides; everything beside it says what else can be said."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np

from rankshift.analysis.best import find_confidence_set
from rankshift.analysis.contrast import Comparison, Design, compare_blocks
from rankshift.analysis.critical import CriticalValues, find_critical_values
from rankshift.analysis.detection import find_contrast, find_smallest_height
from rankshift.analysis.flatness import Flatness, bound_change, check_flatness
from rankshift.analysis.intervals import FEWEST_SEEDS
from rankshift.analysis.two_lines import TwoLines, fit_two_lines
from rankshift.inference import Analysis

Verdict = Literal["peak", "increasing", "decreasing", "flat", "undetermined"]

FEWEST_RANKS = 3
"""A peak needs a rank on each side."""


@dataclass(frozen=True)
class Change:
    """The clearest difference between two blocks in one direction."""

    left: tuple[int, ...]
    """Ranks."""
    right: tuple[int, ...]
    difference: float
    """Mean rate of the right block minus that of the left one."""
    ratio: float
    """The same in standard errors."""


@dataclass(frozen=True)
class Peak:
    """What one curve says; numbers that there are none of are None."""

    verdict: Verdict
    ranks: tuple[int, ...]
    """Those with a value."""
    seeds: int
    """How many there are that have two ranks or more."""
    estimates: tuple[float, ...]
    """Mean over seeds at each rank."""
    reason: str | None = None
    """Why nothing can be told; None for other verdicts."""
    statistic: float | None = None
    """Largest over blocks of the smaller of rise and fall, in standard errors."""
    critical_value: float | None = None
    rise: Change | None = None
    """To the block with the largest statistic: its clearest rise."""
    fall: Change | None = None
    up: Change | None = None
    """Clearest rise from any block to any later one."""
    down: Change | None = None
    critical_change: float | None = None
    """What `up` and `down` must exceed, in standard errors."""
    largest_up: float | None = None
    """Upper confidence bound of the largest rise between two ranks."""
    largest_down: float | None = None
    confidence_set: tuple[int, ...] = ()
    """Ranks that may be the best; all where nothing was compared."""
    flat: Flatness | None = None
    two_lines: TwoLines | None = None
    smallest_peak: float | None = None
    """Height of a peak 3 octaves wide that would be found in 80 % of repetitions."""


def find_peak(
    values: np.ndarray, ranks: Sequence[int], rules: Analysis, noise: np.ndarray | None = None
) -> Peak:
    """Decide what a curve shows.

    `peak`: some block of 1 to `widest_block` adjacent ranks lies above a block to its left and
    above one to its right, the smaller of the two differences being larger in standard errors than
    chance makes it where there is no peak (`find_critical_values`). Else `flat`: every two ranks
    are shown to differ by less than the margin. Else `increasing`: some block lies above an earlier
    one by more than chance makes it, and a fall as large as the margin is excluded; `decreasing`
    likewise. Else `undetermined`. Each of these claims is false with a probability of at most
    `level`, whatever the truth; see docs/method.md for how that was measured.

    Args:
        values: Rates `[seed, rank]`, NaN where there is none; not all of them.
        ranks: Rising.
        rules: Level, margin and width of the blocks, fixed before anything was trained.
        noise: Variance of each rate that sampling answers alone gives, `[seed, rank]`.
    """
    there = ~np.isnan(values)
    measured, paired = np.flatnonzero(there.any(axis=0)), np.flatnonzero(there.sum(axis=1) > 1)
    kept = tuple(ranks[at] for at in measured.tolist())
    means = tuple(float(np.nanmean(column)) for column in values[:, measured].T)
    bare = Peak("undetermined", kept, len(paired), means, confidence_set=kept)
    reason = _find_obstacle(values, kept, len(paired))
    if reason:
        return replace(bare, reason=reason, two_lines=fit_two_lines(kept, means))
    used = values[np.ix_(paired, measured)]
    filled = tuple(tuple(bool(cell) for cell in row) for row in ~np.isnan(used))
    design = _find_design(filled, rules.widest_block)
    if design.degrees < 1 or not _has_contrast(design):
        return replace(bare, reason="too few seeds have the same ranks")
    of_cells = None if noise is None else noise[np.ix_(paired, measured)]
    comparison = compare_blocks(np.nan_to_num(used), design, of_cells)
    return _decide(_measure(bare, comparison, design, rules), rules)


@cache
def _find_design(filled: tuple[tuple[bool, ...], ...], widest_block: int) -> Design:
    """Keep one design of each kind, for it works out its pairs once."""
    return Design(filled, widest_block)


def _find_obstacle(values: np.ndarray, ranks: Sequence[int], num_seeds: int) -> str | None:
    """Say what makes a test impossible, None for nothing."""
    found = []
    if (~np.isnan(values)).sum(axis=0).max() < 2:
        found.append("one seed per rank")
    elif num_seeds < FEWEST_SEEDS:
        found.append(f"fewer than {FEWEST_SEEDS} seeds that share ranks")
    if len(ranks) < FEWEST_RANKS:
        found.append(f"fewer than {FEWEST_RANKS} ranks")
    return " and ".join(found) or None


def _has_contrast(design: Design) -> bool:
    left, right = design.pairs.T
    return bool(set(left.tolist()) & set(right.tolist()))


def _measure(peak: Peak, comparison: Comparison, design: Design, rules: Analysis) -> Peak:
    """Fill in all numbers; the verdict stays open."""
    critical = find_critical_values(design, rules.level)
    contrast = find_contrast(comparison.ratio, design)
    block, (left, right) = int(np.argmax(contrast)), design.pairs.T
    risen = np.where(right == block, comparison.ratio, -np.inf)
    fallen = np.where(left == block, comparison.ratio, np.inf)
    height = find_smallest_height(design, peak.ranks, rules.level)
    deviation = float(np.sqrt(comparison.variance))

    def describe(pair: int) -> Change:
        return _describe_change(pair, peak.ranks, comparison, design)

    return replace(
        peak,
        statistic=float(contrast[block]),
        critical_value=critical.peak,
        rise=describe(int(np.argmax(risen))),
        fall=describe(int(np.argmin(fallen))),
        up=describe(int(np.argmax(comparison.ratio))),
        down=describe(int(np.argmin(comparison.ratio))),
        critical_change=critical.change,
        largest_up=bound_change(comparison, design, rules.level, rises=True),
        largest_down=bound_change(comparison, design, rules.level, rises=False),
        confidence_set=_name_best(peak.ranks, comparison, design, critical),
        flat=check_flatness(comparison, design, rules.margin, rules.level),
        two_lines=fit_two_lines(peak.ranks, peak.estimates),
        smallest_peak=None if height is None else height * deviation,
    )


def _describe_change(
    pair: int, ranks: tuple[int, ...], comparison: Comparison, design: Design
) -> Change:
    left, right = (slice(*design.blocks[block]) for block in design.pairs[pair])
    return Change(
        ranks[left],
        ranks[right],
        float(comparison.difference[pair]),
        float(comparison.ratio[pair]),
    )


def _name_best(
    ranks: tuple[int, ...], comparison: Comparison, design: Design, critical: CriticalValues
) -> tuple[int, ...]:
    return tuple(ranks[at] for at in find_confidence_set(comparison, design, critical.best))


def _decide(peak: Peak, rules: Analysis) -> Peak:
    """Give the verdict that the numbers allow, the strongest claim first."""
    assert peak.statistic is not None
    assert peak.critical_value is not None
    assert peak.flat is not None
    assert peak.up is not None
    assert peak.down is not None
    assert peak.critical_change is not None
    if peak.statistic > peak.critical_value:
        return replace(peak, verdict="peak")
    if peak.flat.is_flat:
        return replace(peak, verdict="flat")
    goes_up = peak.up.ratio > peak.critical_change
    goes_down = -peak.down.ratio > peak.critical_change
    if goes_up and _is_within(peak.largest_down, rules.margin):
        return replace(peak, verdict="increasing")
    if goes_down and _is_within(peak.largest_up, rules.margin):
        return replace(peak, verdict="decreasing")
    return replace(peak, reason=_find_reason(goes_up, goes_down))


def _is_within(bound: float | None, margin: float) -> bool:
    return bound is not None and bound < margin


def _find_reason(goes_up: bool, goes_down: bool) -> str:
    if goes_up and goes_down:
        return "it rises and falls, but in no order that the test calls a peak"
    if goes_up:
        return "it rises, but a later fall is not excluded"
    if goes_down:
        return "it falls, but a rise is not excluded"
    return "no difference between ranks is beyond chance"
