from dataclasses import replace
from itertools import islice

import pytest

from calibration.planted import LEAST_CONTRAST, Outcome, list_plants, run_build, sum_up
from rankshift.organism.planted import Plant, size_contrast

FOUND = Outcome("planted-peak-16-seed-1", 16, "peak", [8, 16, 32], 16, 0.02, 8.0, 1.0)
QUIET = Outcome("planted-flat-seed-2", None, "flat", None, 4, 0.02, None, 1.0)


@pytest.mark.parametrize(
    ("block", "is_right"),
    [([8, 16, 32], True), ([16, 32], True), ([32], True), ([32, 64], False), ([4, 8], False)],
)
def test_a_peak_is_found_within_one_octave_or_not_at_all(block, is_right):
    assert replace(FOUND, block=block).is_right == is_right


def test_no_verdict_is_never_right():
    assert not replace(FOUND, verdict=None).is_right
    assert not replace(QUIET, verdict=None).is_right
    assert not sum_up([FOUND, *[QUIET] * 3, replace(QUIET, verdict=None)])[1]


def test_the_last_lines_say_how_often_the_analysis_was_right():
    lines, kept = sum_up([FOUND, FOUND, *[QUIET] * 20])
    assert kept
    assert lines == [
        "planted_peaks found 2 of 2 within one octave",
        "planted_non_peaks called peaks 0 of 20",
    ]


def test_one_false_peak_in_twenty_is_allowed_and_a_missed_peak_is_not():
    false = replace(QUIET, verdict="peak", block=[4])
    assert sum_up([FOUND, false, *[QUIET] * 19])[1]
    assert not sum_up([FOUND, false, false, *[QUIET] * 18])[1]
    assert not sum_up([FOUND, replace(FOUND, verdict="undetermined"), *[QUIET] * 20])[1]


def test_twenty_five_builds_are_five_wide_enough_peaks_and_twenty_others_of_every_shape():
    plants = list(islice(list_plants(1), 25))
    contrasts = [size_contrast(plant) for plant in plants if plant.shape == "peak"]
    assert len(contrasts) == 5
    assert all(contrast is not None and contrast >= LEAST_CONTRAST for contrast in contrasts)
    others = {plant.shape for plant in plants} - {"peak"}
    assert others == {"flat", "increasing", "decreasing", "saturating", "step-up", "step-down"}
    assert len({plant.seed for plant in plants}) == 25


SMALL = Plant(
    "peak", 1, at=8, ranks=(1, 8, 32, 128), num_seeds=3, answers=4, low=0.1, high=0.6,
    interaction_sd=0.01,
)  # fmt: skip


def test_the_pipeline_finds_a_planted_peak_end_to_end(tmp_path):
    outcome = run_build(SMALL, tmp_path)
    assert outcome.is_right, outcome
    assert outcome.worst_error < 0.12
    assert run_build(SMALL, tmp_path).verdict == "peak"  # summed up again from what was kept


def test_the_pipeline_calls_a_planted_rise_no_peak():
    outcome = run_build(replace(SMALL, shape="increasing", at=None, seed=2), None)
    assert outcome.is_right, outcome
    assert outcome.worst_error < 0.12
