import itertools

import numpy as np
import pytest

from rankshift.analysis.contrast import Design, compare_blocks

COMPLETE = Design(((True,) * 5,) * 4, 3)
HOLES = Design(
    ((True, True, False, True, True), (True,) * 5, (False, True, True, True, True), (True,) * 5), 2
)


def make_values(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0, [0.1, 0.3, 0.1, 0.2, 0.1], (4, 5)) + rng.normal(0, 1, (4, 1))


def fit_residuals(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Take seed and rank effects out by alternating averages: no projection, NaN where empty."""
    left = np.where(mask, values, np.nan)
    for _ in range(500):
        left = left - np.nanmean(left, axis=1, keepdims=True)
        left = left - np.nanmean(left, axis=0, keepdims=True)
    return left


def find_pair(design: Design, left: tuple[int, int], right: tuple[int, int]) -> int:
    wanted = (design.blocks.index(left), design.blocks.index(right))
    (at,) = [i for i, pair in enumerate(design.pairs.tolist()) if tuple(pair) == wanted]
    return at


@pytest.mark.parametrize("design", [COMPLETE, HOLES])
def test_pairs_are_all_disjoint_blocks_the_left_one_first(design: Design):
    spans = [(a, b) for a, b in itertools.combinations(range(6), 2) if b - a <= design.widest_block]
    expected = {(i, j) for i in spans for j in spans if i[1] <= j[0]}
    found = [tuple(design.blocks[block] for block in pair) for pair in design.pairs]
    assert len(found) == len(set(found))
    assert set(found) == expected


@pytest.mark.parametrize("design", [COMPLETE, HOLES])
def test_each_difference_is_a_mean_over_the_seeds_that_have_both_blocks(design: Design):
    values, mask = make_values(), np.array(design.filled)
    found = compare_blocks(np.where(mask, values, 1e9), design).difference
    holed = np.where(mask, values, np.nan)
    for at, (left, right) in enumerate(design.pairs):
        (a, b), (c, d) = design.blocks[left], design.blocks[right]
        of_seeds = holed[:, c:d].mean(axis=1) - holed[:, a:b].mean(axis=1)
        assert found[at] == pytest.approx(np.nanmean(of_seeds))


@pytest.mark.parametrize("design", [COMPLETE, HOLES])
def test_the_common_variance_is_what_seed_and_rank_effects_leave(design: Design):
    values, mask = make_values(), np.array(design.filled)
    degrees = mask.sum() - 4 - 5 + 1
    assert design.degrees == degrees
    expected = np.nansum(fit_residuals(values, mask) ** 2) / degrees
    assert float(compare_blocks(values, design).variance) == pytest.approx(expected)


def test_the_error_is_the_largest_of_three():
    values = make_values()
    found = compare_blocks(values, COMPLETE)
    residuals = fit_residuals(values, np.ones((4, 5), bool))
    pooled = (residuals**2).sum() / 12
    # Grubbs 1948: (S - 1) E d_r = (1 - 2 / R) sigma_r^2 + mean(sigma^2) / R, solved by hand.
    own = (residuals**2).sum(axis=0) / 3
    own = np.maximum((own - pooled * 5 / 4 * 4 / 5 / 5) / (1 - 2 / 5), 0)
    by_kind = []
    for at, (left, right) in enumerate(COMPLETE.pairs):
        (a, b), (c, d) = COMPLETE.blocks[left], COMPLETE.blocks[right]
        of_seeds = values[:, c:d].mean(axis=1) - values[:, a:b].mean(axis=1)
        kinds = (
            pooled * (1 / (b - a) + 1 / (d - c)),
            of_seeds.var(ddof=1),
            own[a:b].sum() / (b - a) ** 2 + own[c:d].sum() / (d - c) ** 2,
        )
        by_kind.append(int(np.argmax(kinds)))
        assert found.error[at] ** 2 * 4 == pytest.approx(max(kinds))
    assert set(by_kind) == {0, 1, 2}


@pytest.mark.parametrize("design", [COMPLETE, HOLES])
def test_each_ranks_own_variance_is_met_on_average(design: Design):
    rng = np.random.default_rng(1)
    deviations = np.array([1.0, 5.0, 1.0, 3.0, 2.0])
    seeds, ranks = design.cells
    draws = (deviations * rng.standard_normal((20_000, 4, 5)))[:, seeds, ranks]
    squares = np.square(draws @ design.residual_maker)
    sums = np.stack([squares[:, ranks == rank].sum(axis=1) for rank in range(5)], axis=1)
    mean = (sums @ design.variance_maker).mean(axis=0)
    assert mean == pytest.approx(deviations**2, abs=0.6)


def test_what_seeds_share_changes_nothing():
    values = make_values()
    shifted = compare_blocks(values + np.array([[3.0], [-2.0], [0.5], [7.0]]), COMPLETE)
    plain = compare_blocks(values, COMPLETE)
    assert shifted.difference == pytest.approx(plain.difference)
    assert shifted.error == pytest.approx(plain.error)


def test_many_draws_are_compared_as_each_alone():
    draws = np.stack([make_values(seed) for seed in range(3)])
    together = compare_blocks(draws, HOLES)
    for at, one in enumerate(draws):
        alone = compare_blocks(one, HOLES)
        assert together.ratio[at] == pytest.approx(alone.ratio)


def test_seeds_that_agree_by_chance_keep_the_noise_of_sampling():
    values = np.tile([0.0, 0.0, 0.5, 0.0, 0.0], (4, 1))
    assert np.abs(compare_blocks(values, COMPLETE).ratio).max() > 1e12
    noise = np.full((4, 5), 0.01)
    found = compare_blocks(values, COMPLETE, noise)
    at = find_pair(COMPLETE, (0, 1), (2, 3))
    assert found.error[at] == pytest.approx(np.sqrt(2 * 0.01 / 4))
    assert found.ratio[find_pair(COMPLETE, (0, 1), (1, 2))] == 0.0


def test_blocks_that_fewer_than_two_seeds_share_are_not_compared():
    design = Design(((True, True, False), (True, False, True), (False, True, True)), 2)
    assert len(design.pairs) == 0
    design = Design(((True, True, False), (True, True, True), (False, True, True)), 2)
    assert {tuple(pair) for pair in design.pairs.tolist()} == {(0, 1), (1, 2)}
