"""The contrast that ours is measured against: blocks against single ranks, two errors, equal noise.

A block's mean is compared with single ranks on both sides; the variance is the larger of the pooled
and the pair's own; the critical value supposes independent errors of one size.
"""

from functools import cache

import numpy as np

DRAWS = 20_000
CHUNK = 500


def find_simple_statistic(values: np.ndarray, widest_block: int) -> np.ndarray:
    """Give the smaller of largest rise and fall, the largest over blocks, `[draw]`.

    Args:
        values: `[draw, seed, rank]`.
        widest_block: Most ranks in a block.
    """
    seeds, ranks = values.shape[1:]
    residuals = values - values.mean(axis=1, keepdims=True)
    residuals = residuals - residuals.mean(axis=2, keepdims=True)
    pooled = np.square(residuals).sum(axis=(1, 2)) / ((seeds - 1) * (ranks - 1))
    found = np.full(len(values), -np.inf)
    for width in range(1, widest_block + 1):
        for start in range(1, ranks - width):
            block = values[:, :, start : start + width].mean(axis=2, keepdims=True)
            differences = block - values
            variance = np.maximum(
                differences.var(axis=1, ddof=1), (pooled * (1 + 1 / width))[:, None]
            )
            ratio = differences.mean(axis=1) / np.sqrt(variance / seeds)
            rise, fall = ratio[:, :start].max(axis=1), ratio[:, start + width :].max(axis=1)
            found = np.maximum(found, np.minimum(rise, fall))
    return found


@cache
def find_simple_critical(seeds: int, ranks: int, widest_block: int, level: float) -> float:
    """Simulate the critical value at a high step after the first rank, errors equal."""
    rng = np.random.default_rng(1)
    step = np.where(np.arange(ranks) > 0, 1e6, 0.0)
    chunks = [
        find_simple_statistic(rng.standard_normal((CHUNK, seeds, ranks)) + step, widest_block)
        for _ in range(DRAWS // CHUNK)
    ]
    return float(np.quantile(np.concatenate(chunks), 1 - level))
