"""Which ranks may be the best: a confidence set, not one number."""

import numpy as np

from rankshift.analysis.contrast import Comparison, Design


def find_confidence_set(comparison: Comparison, design: Design, critical_value: float) -> list[int]:
    """Give the positions of the ranks that may have the highest mean.

    A rank is left out when another one lies above it by more than the critical value: with the
    chosen confidence the true best is among those that stay, however many there are. A rank that
    was compared with none stays.

    Source: multiple comparisons with the best, Hsu 1981, Annals of Statistics 9, 1026-1034, and
    1984, same journal 12, 1136-1144; of the constrained intervals only which ones reach above 0.
    """
    above = find_single_ranks(comparison.ratio, design)
    worst = np.nanmax(np.where(np.isnan(above), -np.inf, above), axis=0)
    return np.flatnonzero(worst <= critical_value).tolist()


def find_single_ranks(of_pairs: np.ndarray, design: Design) -> np.ndarray:
    """Arrange what was found for pairs as `[rank, rank]`: row minus column, NaN where not compared.

    Args:
        of_pairs: `[pair]`; changes its sign when the pair is turned round.
        design: Says which pairs are two single ranks.
    """
    table = np.full((design.num_ranks, design.num_ranks), np.nan)
    pairs, lefts, rights = design.single_ranks
    table[rights, lefts], table[lefts, rights] = of_pairs[pairs], -of_pairs[pairs]
    return table
