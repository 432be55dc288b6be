"""Which arms and curves of two runs may stand side by side."""

import copy
from dataclasses import replace

import pytest

from rankshift.analysis.matching import describe_arms, match_curves
from rankshift.analysis.results import summarize
from tests.synthetic_run import make_study, write_run


def make_results(folder, ranks=(1, 4), seeds=(1, 2, 3), **grid):
    study = make_study(ranks, seeds)
    return summarize(write_run(folder, replace(study, grid=replace(study.grid, **grid))))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return make_results(tmp_path_factory.mktemp("a"))


def test_arms_are_the_same_by_their_ids(results, tmp_path):
    more = make_results(tmp_path, ranks=(4, 16))
    arms = describe_arms(results, more)
    # Shared: the base, full finetuning (3 and a twin), rank 4 (3 and a twin).
    assert (arms["both"], arms["only_a"], arms["only_b"]) == (9, 4, 4)
    assert arms["disagree"] == []


def test_an_arm_whose_losses_differ_between_runs_is_named(results):
    other = copy.deepcopy(results)
    row = next(row for row in other["arms"] if row["label"] == "rank 4 seed 2")
    row["task_held_out_loss"] += 1e-6
    row["own_held_out_loss"] = None  # what one run has not measured is no disagreement
    assert describe_arms(results, other)["disagree"] == [
        {"arm": row["arm"], "label": "rank 4 seed 2"}
    ]


def test_curves_pair_by_setting_and_what_has_none_is_listed(results, tmp_path):
    two = make_results(tmp_path, learning_rates=(1e-3, 2e-3))
    pairs, without = match_curves(results, two)
    assert [(mine["role"], mine["learning_rate"]) for mine, _ in pairs] == [
        ("task", 1e-3),
        ("twin", 1e-3),
    ]
    assert all(mine["learning_rate"] == other["learning_rate"] for mine, other in pairs)
    assert [(c["run"], c["role"], c["learning_rate"]) for c in without] == [
        ("b", "task", 2e-3),
        ("b", "twin", 2e-3),
    ]


def test_lone_curves_of_other_settings_are_paired_and_several_are_not(results, tmp_path):
    other = make_results(tmp_path / "one", learning_rates=(5e-3,))
    pairs, _ = match_curves(results, other)
    assert [(a["learning_rate"], b["learning_rate"]) for a, b in pairs] == [(1e-3, 5e-3)]
    several = make_results(tmp_path / "two", learning_rates=(5e-3, 6e-3))
    assert match_curves(results, several)[0] == []
