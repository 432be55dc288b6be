import numpy as np
import pytest

from calibration.simple_contrast import find_simple_critical, find_simple_statistic


def test_the_statistic_is_that_of_its_definition():
    values = np.random.default_rng(0).normal(0, 1, (1, 4, 6))
    one = values[0]
    residuals = one - one.mean(0) - one.mean(1, keepdims=True) + one.mean()
    pooled = (residuals**2).sum() / 15
    best = -np.inf
    for start in range(1, 5):
        for stop in range(start + 1, min(start + 3, 6)):
            block = one[:, start:stop].mean(axis=1)
            ratios = []
            for side in (range(start), range(stop, 6)):
                of_side = []
                for rank in side:
                    difference = block - one[:, rank]
                    variance = max(difference.var(ddof=1), pooled * (1 + 1 / (stop - start)))
                    of_side.append(difference.mean() / np.sqrt(variance / 4))
                ratios.append(max(of_side))
            best = max(best, min(ratios))
    assert find_simple_statistic(values, 2)[0] == pytest.approx(best)


def test_eleven_ranks_and_five_seeds_need_a_little_over_three_errors():
    assert find_simple_critical(5, 11, 5, 0.05) == pytest.approx(3.1, abs=0.15)
