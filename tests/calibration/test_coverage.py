import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.coverage import (
    BARRED,
    count_covered,
    list_arms,
    list_cells,
    list_missed,
    measure,
    measure_excess,
    sum_up,
    write_findings,
    write_table,
)
from calibration.truths import Truth

TRUTH = Truth(0.1, 0.15, 0.06, 3, 24, 10)


def ends(*pairs: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.array(pairs).T
    return low, high


def test_coverage_counts_how_often_the_truth_is_inside_and_on_which_side_it_is_missed():
    ours = ends((0.0, 0.2), (0.1, 0.3), (0.15, 0.3), (0.0, 0.09), (0.0, 0.05))
    found = count_covered("new-questions", TRUTH, 0.1, ours, ends(*[(0.0, 1.0)] * 5))
    assert (found.coverage, found.below, found.above) == pytest.approx((0.4, 0.2, 0.4))
    assert found.width == pytest.approx((0.2 + 0.2 + 0.15 + 0.09 + 0.05) / 5)
    assert found.error == pytest.approx(np.sqrt(0.4 * 0.6 / 5))
    assert (found.other_coverage, found.other_width) == (1.0, 1.0)


def test_each_study_is_held_against_the_truth_of_its_own_questions():
    true_rates = np.array([0.1, 0.5])
    found = count_covered("these-questions", TRUTH, true_rates, *[ends((0.0, 0.2), (0.4, 0.6))] * 2)
    assert found.coverage == 1.0


@pytest.mark.parametrize(
    ("target", "changes", "has_bar"),
    [
        ("these-questions", {}, True),
        ("new-questions", {"rate": 0.05}, True),
        ("new-questions", {"rate": 0.01}, False),
        ("these-questions", {"questions": 8}, False),
        ("one-arm", {}, False),
    ],
)
def test_a_bar_is_where_the_rate_is_5_percent_and_24_questions_are_asked(
    target: str, changes: dict[str, float], has_bar: bool
):
    truth = replace(TRUTH, **changes)
    under = count_covered(target, truth, 0.5, ends((0.0, 0.2)), ends((0.0, 0.2)))
    assert under.has_bar == has_bar
    assert list_missed([under]) == ([under] if has_bar else [])
    assert list_missed([replace(under, coverage=0.92)]) == []


def test_the_truths_are_those_of_real_data_and_each_is_there_once():
    cells, arms = list(list_cells()), list(list_arms())
    names = [truth.name for truth in (*cells, *arms)]
    assert len(set(names)) == len(names)
    assert {c.rate for c in cells} == {0.0, 0.01, 0.05, 0.10, 0.30, 0.60, 0.90}
    assert {c.seeds for c in cells} == {3, 5, 10}
    assert {c.questions for c in cells} == {8, 24, 48}
    assert {c.answers for c in cells} == {10, 50}
    assert any(c.coherent < 1 for c in cells)
    usual = [c for c in cells if 0.1 <= c.rate <= 0.9]
    assert {(c.icc, c.seed_sd) for c in usual} == {(0.05, 0.04), (0.15, 0.06), (0.30, 0.10)}


def test_both_targets_of_a_cell_and_the_one_of_an_arm_are_measured():
    assert tuple(found.target for found in measure(TRUTH, 20)) == BARRED
    assert [found.target for found in measure(replace(TRUTH, seeds=1), 20)] == ["one-arm"]
    assert measure(TRUTH, 20) == measure(TRUTH, 20)


def test_ours_cover_where_the_logits_of_seeds_close_in_on_the_wrong_value():
    truth = Truth(0.1, 0.30, 0.10, 10, 24, 10)
    these, new = measure(truth, 600)
    assert min(these.coverage, new.coverage) >= 0.92
    assert these.other_coverage < 0.88


def test_findings_are_told_in_a_table_in_last_lines_and_in_a_file(tmp_path: Path):
    findings = measure(TRUTH, 20)
    for found in findings:
        assert re.fullmatch(rf"coverage {found.target}/\S+ [01]\.\d\d", found.last_line)
    assert len(write_table(findings).splitlines()) == 3
    assert len(sum_up(findings).splitlines()) == 3
    written = json.loads(write_findings(findings, tmp_path).read_text())
    assert [f["target"] for f in written["findings"]] == list(BARRED)
    assert written["findings"][0]["truth"]["questions"] == 24


def test_the_excess_over_a_twin_is_covered_where_the_paired_t_is_not():
    found = measure_excess(Truth(0.1, 0.30, 0.10, 5, 24, 10), 600)
    assert (found.target, found.has_bar) == ("excess", False)
    assert found.coverage >= 0.92
    assert found.other_coverage < 0.92
