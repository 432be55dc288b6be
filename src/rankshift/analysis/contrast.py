"""Differences between blocks of adjacent ranks within seeds, each over the largest of its errors.

A seed's data order and initial draw move all of its ranks together, so blocks are compared within
seeds and the seeds' differences are averaged. Of three estimates of the variance of such a
difference the largest is used: that of all ranks together is steady but wrong where ranks differ
in variance, that of the two blocks alone is right under any variances and correlation but has few
degrees of freedom, and that of the ranks of the two blocks lies between them.
"""

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

FEWEST_PAIRED_SEEDS = 2
"""Two blocks are compared only where so many seeds have both."""

Pair = tuple[int, int]


@dataclass(frozen=True)
class Design:
    """Which seeds have which ranks, and how wide the blocks are that are compared."""

    filled: tuple[tuple[bool, ...], ...]
    """Whether there is a value, `[seed][rank]`."""
    widest_block: int
    """Blocks have 1 to so many adjacent ranks."""

    @property
    def num_ranks(self) -> int:
        """Ranks, those without a value included."""
        return len(self.filled[0])

    @cached_property
    def blocks(self) -> list[Pair]:
        """First rank and the one after the last, by position; narrow blocks first."""
        widths = range(1, min(self.widest_block, self.num_ranks - 1) + 1)
        return [(a, a + w) for w in widths for a in range(self.num_ranks - w + 1)]

    @cached_property
    def mask(self) -> np.ndarray:
        """`filled` as an array, `[seed, rank]`."""
        return np.array(self.filled)

    @cached_property
    def groups(self) -> list[tuple[np.ndarray, list[Pair]]]:
        """Pairs of blocks, left and right, by the seeds that have all ranks of both.

        Positions in `blocks`; pairs that overlap or that too few seeds have are left out.
        """
        complete = [self.mask[:, a:b].all(axis=1) for a, b in self.blocks]
        groups: dict[tuple[int, ...], list[Pair]] = {}
        for i, j in itertools.permutations(range(len(self.blocks)), 2):
            seeds = tuple(np.flatnonzero(complete[i] & complete[j]).tolist())
            if self.blocks[i][1] <= self.blocks[j][0] and len(seeds) >= FEWEST_PAIRED_SEEDS:
                groups.setdefault(seeds, []).append((i, j))
        return [(np.array(seeds), pairs) for seeds, pairs in groups.items()]

    @cached_property
    def pairs(self) -> np.ndarray:
        """Left and right block of each pair, in the order of `Comparison`, `[pair, 2]`."""
        pairs = [pair for _, pairs in self.groups for pair in pairs]
        return np.array(pairs, dtype=int).reshape(-1, 2)

    @cached_property
    def single_ranks(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which pairs compare two single ranks, and the left and right rank of each, `[single]`."""
        starts, stops = np.array(self.blocks).T
        left, right = self.pairs.T
        widths = stops - starts
        pairs = np.flatnonzero((widths[left] == 1) & (widths[right] == 1))
        return pairs, starts[left[pairs]], starts[right[pairs]]

    @cached_property
    def averages(self) -> np.ndarray:
        """Weights that average a block's ranks, `[block, rank]`."""
        weights = np.zeros((len(self.blocks), self.num_ranks))
        for at, (a, b) in enumerate(self.blocks):
            weights[at, a:b] = 1 / (b - a)
        return weights

    @cached_property
    def cells(self) -> tuple[np.ndarray, np.ndarray]:
        """Seed and rank of each value, in the order of the residuals."""
        seeds, ranks = np.nonzero(self.mask)
        return seeds, ranks

    @cached_property
    def residual_maker(self) -> np.ndarray:
        """Projection of the values onto what seed and rank effects leave, `[value, value]`."""
        seeds, ranks = self.cells
        seed_effects = seeds[:, None] == np.arange(len(self.filled))
        effects = np.hstack([seed_effects, ranks[:, None] == np.arange(self.num_ranks)]).astype(
            float
        )
        return np.eye(len(seeds)) - effects @ np.linalg.pinv(effects)

    @cached_property
    def degrees(self) -> int:
        """Degrees of freedom that seed and rank effects leave."""
        return round(float(np.trace(self.residual_maker)))

    @cached_property
    def variance_maker(self) -> np.ndarray:
        """Turn the sums of squared residuals of each rank into its variance, `[rank, rank]`.

        The sums' expectations are linear in the ranks' variances; this inverts that. (It is
        symmetric, so it is applied from either side.)

        Source: Grubbs 1948, Journal of the American Statistical Association 43, 243-264, for two
        complete ways; Rao 1970, same journal 65, 161-172, for what is missing.
        """
        _, ranks = self.cells
        member = (ranks[:, None] == np.arange(self.num_ranks)).astype(float)
        return np.linalg.pinv(member.T @ self.residual_maker**2 @ member)


@dataclass(frozen=True)
class Comparison:
    """Right block minus left block for every pair of a design, `[..., pair]`."""

    difference: np.ndarray
    """Mean over the seeds that have both."""
    error: np.ndarray
    """Standard error of that mean: the largest of the three, zero where nothing varies."""
    variance: np.ndarray
    """Of one value once seed and rank are taken out, all ranks together, `[...]`."""

    @property
    def ratio(self) -> np.ndarray:
        """Difference over error; no difference is zero errors, whatever the error."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.difference == 0, 0.0, self.difference / self.error)


def compare_blocks(
    values: np.ndarray, design: Design, noise: np.ndarray | None = None
) -> Comparison:
    """Compare all pairs of blocks of a design.

    Args:
        values: `[..., seed, rank]`; what is not filled is not looked at.
        design: Has at least one pair.
        noise: Variances that sampling answers alone gives the values, as they. Neither a
            rank's own nor the common variance is taken to be smaller: seeds may agree by chance.
    """
    seeds, ranks = design.cells
    values = np.where(design.mask, values, 0.0)
    residuals = np.square(values[..., seeds, ranks] @ design.residual_maker)
    member = (ranks[:, None] == np.arange(design.num_ranks)).astype(float)
    pooled = residuals.sum(axis=-1) / max(design.degrees, 1)
    own = np.maximum(residuals @ member @ design.variance_maker, 0.0)
    if noise is not None:
        counted = np.where(design.mask, noise, 0.0)
        own = np.maximum(own, counted.sum(axis=-2) / np.maximum(design.mask.sum(axis=0), 1))
        pooled = np.maximum(pooled, counted.sum(axis=(-2, -1)) / design.mask.sum())
    own_of_block = own @ np.square(design.averages).T
    widths = np.array([b - a for a, b in design.blocks])
    parts = [
        _compare_within(values[..., used, :], design.averages, np.array(pairs))
        for used, pairs in design.groups
    ]
    numbers = np.concatenate([np.full(len(pairs), len(used)) for used, pairs in design.groups])
    left, right = design.pairs.T
    variance = np.maximum(
        np.concatenate([variance for _, variance in parts], axis=-1),
        own_of_block[..., left] + own_of_block[..., right],
    )
    variance = np.maximum(variance, pooled[..., None] * (1 / widths[left] + 1 / widths[right]))
    difference = np.concatenate([difference for difference, _ in parts], axis=-1)
    return Comparison(difference, np.sqrt(variance / numbers), np.asarray(pooled))


def _compare_within(
    values: np.ndarray, averages: np.ndarray, pairs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give mean and variance over seeds of the pairs' differences, `[..., pair]`.

    From the ranks' covariance over these seeds: that costs the same for any number of seeds.
    """
    left, right = pairs.T
    mean = values.mean(axis=-2)
    centred = values - mean[..., None, :]
    covariance = np.swapaxes(centred, -1, -2) @ centred / (values.shape[-2] - 1)
    of_blocks = averages @ covariance @ averages.T
    own = np.diagonal(of_blocks, axis1=-2, axis2=-1)
    variance = own[..., left] + own[..., right] - 2 * of_blocks[..., left, right]
    means = mean @ averages.T
    return means[..., right] - means[..., left], np.maximum(variance, 0.0)
