from dataclasses import replace

import numpy as np
import pytest

from calibration.curves import draw_equal, list_peakless, list_peaks
from calibration.verdicts import (
    Share,
    count_found,
    find_statistics,
    make_design,
    print_alarms,
    print_power,
)
from rankshift.analysis.peak import find_peak
from rankshift.inference import Analysis

GRID = (1, 4, 16, 64, 256, 1024)


def test_the_statistics_that_are_counted_are_those_of_the_verdict():
    values = np.random.default_rng(0).normal(0.3, 0.05, (3, 5, 6))
    noise = np.full_like(values, 0.04**2)
    for given in (None, noise):
        found = find_statistics(values, given, make_design(5, 6))
        each = [None] * 3 if given is None else given
        expected = [
            find_peak(one, GRID, Analysis(), own).statistic
            for one, own in zip(values, each, strict=True)
        ]
        assert found == pytest.approx(expected)


def test_a_clear_peak_is_counted_and_a_clear_step_is_not():
    draw = draw_equal(0.01, 6)
    found = count_found(list_peaks(GRID, height=0.4)["peak"], 5, draw, 20, "a")
    assert found == (1.0, 1.0)
    assert count_found(list_peakless(6)["decreasing"], 5, draw, 20, "a")[0] == 0.0


def make_share(found: float, **changes: str) -> Share:
    return replace(Share("flat", "equal", "equal", 5, 11, found, 0.04), **changes)


def test_a_bar_that_is_missed_is_told_and_one_within_two_errors_is_not():
    assert list(print_alarms([make_share(0.06)], 1000)) == []
    assert len(list(print_alarms([make_share(0.08)], 1000))) == 1
    assert list(print_alarms([make_share(0.08, kind="worst")], 1000)) == []
    assert list(print_power([make_share(0.89, noise="0.04")], 1000)) == []
    assert len(list(print_power([make_share(0.85, noise="0.04")], 1000))) == 1
    assert list(print_power([make_share(0.1, noise="0.05")], 1000)) == []  # has no bar


def test_each_truth_has_a_line_for_machines_with_its_worst_case(
    capsys: pytest.CaptureFixture[str],
):
    shares = [make_share(0.031), make_share(0.02), make_share(0.06, kind="worst", noise="two")]
    list(print_alarms(shares, 1000))
    list(print_power([make_share(0.96, truth="peak", noise="0.04")], 1000))
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]
    assert lines == [
        "false_alarm flat-equal 0.031",
        "false_alarm flat-worst 0.060",
        "power peak-0.04-5-seeds 0.960",
    ]
