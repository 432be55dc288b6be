import numpy as np
import pytest

from rankshift.analysis.contrast import Design, compare_blocks
from rankshift.analysis.critical import find_critical_values
from rankshift.analysis.detection import find_contrast, find_smallest_height, shape_peak

RANKS = (1, 4, 8, 16, 32, 128)


def complete(seeds: int, ranks: int, widest: int = 5) -> Design:
    return Design(((True,) * ranks,) * seeds, widest)


def test_the_peak_is_half_as_high_an_octave_and_a_half_from_the_middle():
    shape = shape_peak((2, 16, 2**5, 2**6, 512))
    assert shape[2] == 1.0
    assert shape[1] == shape[3] == pytest.approx(2 ** -((1 / 1.5) ** 2))
    assert shape_peak((8, 64, 181))[2] == pytest.approx(0.5, abs=0.002)


def test_the_contrast_of_a_block_is_the_smaller_of_its_best_rise_and_fall():
    design = complete(4, 4, widest=2)
    values = np.random.default_rng(0).normal(0, 1, (4, 4))
    ratio = compare_blocks(values, design).ratio
    found = find_contrast(ratio, design)
    for at, block in enumerate(design.blocks):
        rises = [t for t, (_, right) in zip(ratio, design.pairs, strict=True) if right == at]
        falls = [-t for t, (left, _) in zip(ratio, design.pairs, strict=True) if left == at]
        expected = min(max(rises), max(falls)) if rises and falls else -np.inf
        assert found[at] == expected, block


def test_the_smallest_height_is_found_eight_times_in_ten():
    design = complete(5, 6)
    height = find_smallest_height(design, RANKS, 0.05)
    assert height is not None
    rng = np.random.default_rng(5)
    values = rng.standard_normal((1000, 5, 6)) + height * shape_peak(RANKS)
    statistics = find_contrast(compare_blocks(values, design).ratio, design).max(axis=-1)
    power = np.mean(statistics > find_critical_values(design, 0.05).peak)
    assert power == pytest.approx(0.8, abs=0.06)


def test_more_seeds_see_smaller_peaks():
    heights = [find_smallest_height(complete(seeds, 6), RANKS, 0.05) or 0 for seeds in (3, 5, 10)]
    assert heights[0] > heights[1] > heights[2] > 0
