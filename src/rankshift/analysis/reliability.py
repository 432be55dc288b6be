"""How far judges agree, none of them taken for the truth: Krippendorff's alpha, Cohen's kappa."""

from collections.abc import Sequence

import numpy as np


def interval_alpha(scores: Sequence[Sequence[float | None]]) -> float | None:
    """Give Krippendorff's alpha of scores on a scale, where a difference counts by its square.

    Args:
        scores: `[answer][judge]`; None where a judge gave no score.

    Returns:
        1 for no disagreement, 0 for as much as chance would give, less for more; None where fewer
        than two answers have two scores, or where there is only one score to give.

    Source: Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, section D.
    """
    return _alpha(_to_array([[_or_nan(score) for score in row] for row in scores])[..., None])


def nominal_alpha(words: Sequence[Sequence[str | None]]) -> float | None:
    """Give Krippendorff's alpha of words, where any two that differ differ alike.

    Args:
        words: `[answer][judge]`; None where a judge gave none.

    Source: as for `interval_alpha`. A word is a vector with a single 1, so that half of the
    squared distance of two words is 1 when they differ; the half cancels.
    """
    names = sorted({word for row in words for word in row if word is not None})
    unit = dict(zip(names, np.eye(len(names)), strict=True))
    missing = np.full(len(names), np.nan)
    rows = [[missing if word is None else unit[word] for word in row] for row in words]
    return _alpha(_to_array(rows)) if names else None


def cohen_kappa(table: Sequence[Sequence[int]]) -> float | None:
    """Give Cohen's kappa of two judges.

    Args:
        table: Counts of answers, `[first judge's word][second judge's word]`.

    Returns:
        1 for no disagreement, 0 for as much as chance would give; None without answers, or where
        both judges give every answer the same word.

    Source: Cohen 1960, Educational and Psychological Measurement 20(1), 37-46.
    """
    counts = np.array(table, float)
    total = counts.sum()
    if total == 0:
        return None
    agreed = np.trace(counts) / total
    by_chance = counts.sum(axis=0) @ counts.sum(axis=1) / total**2
    return None if by_chance >= 1 else float((agreed - by_chance) / (1 - by_chance))


def _alpha(values: np.ndarray) -> float | None:
    """Give alpha of vectors, `[answer, judge, dimension]`, NaN where there is none.

    The sum of squared distances between the m values of one answer is m times their squared
    distances from their mean (twice that, counting both orders), so no table of all values against
    all is needed: with scores of many digits that table is larger than the answers.
    """
    is_there = ~np.isnan(values[..., 0])
    paired = is_there.sum(axis=1) >= 2
    values, is_there = values[paired], is_there[paired]
    if len(values) < 2:
        return None
    number = is_there.sum(axis=1)
    means = np.nanmean(values, axis=1, keepdims=True)
    within = np.nansum(np.square(values - means), axis=(1, 2))
    observed = np.sum(within * number / (number - 1)) / number.sum()
    pooled = values[is_there]
    expected = np.square(pooled - pooled.mean(axis=0)).sum() / (number.sum() - 1)
    return None if expected == 0 else float(1 - observed / expected)


def _to_array(rows: Sequence[Sequence[float | np.ndarray]]) -> np.ndarray:
    return np.array(rows, float) if rows else np.empty((0, 0))


def _or_nan(score: float | None) -> float:
    return np.nan if score is None else score
