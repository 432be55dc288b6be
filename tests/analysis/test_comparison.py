"""Two runs side by side: differences with their errors, and what they may be put down to."""

import copy
import json
from dataclasses import replace

import pytest

from rankshift.analysis.comparison import compare_results
from rankshift.analysis.results import summarize
from tests.synthetic_run import QUESTIONS, make_study, write_run


def count_more(arm, step):
    """Give each arm of a rank two to four misaligned answers more than `count_by_rank` does."""
    if arm.role != "task":
        return 0
    own = {1: 6 + (arm.seed or 0), 4: 3, None: 2}.get(arm.rank, 1)
    return own + (1 + (arm.seed or 0) if arm.rank == 4 else 0)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return json.loads(json.dumps(summarize(write_run(tmp_path_factory.mktemp("a")))))


@pytest.fixture(scope="module")
def more(tmp_path_factory):
    run = write_run(tmp_path_factory.mktemp("b"), misaligned=count_more)
    return json.loads(json.dumps(summarize(run)))


def find_cell(compared, rank=None, category=None):
    cells = compared["curves"][0]["cells"]
    (cell,) = [c for c in cells if (c["rank"], c["category"]) == (rank, category)]
    return cell["misaligned_given_coherent"]


def test_a_run_does_not_differ_from_itself(results):
    compared = compare_results(results, copy.deepcopy(results))
    assert compared["unlike"] == compared["settings"] == compared["without_counterpart"] == []
    assert "rates may be compared" in compared["caution"]
    for curve in compared["curves"]:
        for cell in curve["cells"]:
            assert cell["misaligned_given_coherent"]["difference"] == 0.0
            assert cell["misaligned_given_coherent"]["seeds"] == "same arms"
    json.dumps(compared, allow_nan=False)


def test_a_difference_is_of_the_means_over_seeds_and_lies_in_its_interval(results, more):
    cell = find_cell(compare_results(results, more), rank=4)
    # Three of 15 in each seed became 5, 6 and 7 of 15.
    assert (cell["a"]["rate"], cell["b"]["rate"]) == (pytest.approx(3 / 15), pytest.approx(6 / 15))
    assert cell["difference"] == pytest.approx(3 / 15)
    assert cell["low"] < cell["difference"] < cell["high"]
    back = find_cell(compare_results(more, results), rank=4)
    assert back["difference"] == pytest.approx(-3 / 15)
    full = find_cell(compare_results(results, more), category="full adamw all at 0.0001")
    assert full["a"]["rate"] == full["b"]["rate"] == pytest.approx(2 / 15)


def test_seeds_are_paired_only_where_both_runs_have_the_same(results, tmp_path):
    study = make_study(seeds=(1, 2, 3, 4))
    training = replace(study.training, rows_per_step=8)
    other = summarize(write_run(tmp_path / "x", replace(study, training=training)))
    compared = compare_results(results, json.loads(json.dumps(other)))
    assert find_cell(compared, rank=4)["seeds"] == "independent"
    assert compared["arms"]["both"] == 1  # the base is not trained
    assert compared["unlike"] == ["recipe"]
    assert {"key": "training.rows_per_step", "a": 16, "b": 8} in compared["settings"]
    alike = replace(make_study(), training=training)
    other = json.loads(json.dumps(summarize(write_run(tmp_path / "y", alike))))
    assert find_cell(compare_results(results, other), rank=4)["seeds"] == "paired"


def test_a_rank_that_one_run_lacks_has_no_difference(results, tmp_path):
    other = summarize(write_run(tmp_path, make_study(ranks=(4, 16))))
    compared = compare_results(results, json.loads(json.dumps(other)))
    cell = find_cell(compared, rank=16)
    assert (cell["a"], cell["difference"], cell["note"]) == (None, None, "only one run has it")
    assert cell["b"]["num_seeds"] == 3
    losses = {row["what"]: row for row in compared["losses"]}
    assert losses["rank 4"]["a"]["loss"] == pytest.approx(1.6)
    assert losses["rank 16"]["a"] is None
    assert losses["base"]["b"]["arms"] == 1


@pytest.mark.parametrize(
    ("place", "key", "value", "kind", "words"),
    [
        ("provenance.fingerprints", "base", "x", "base", "another base"),
        ("provenance.fingerprints", "task", "x", "data", "other data"),
        ("study.settings.data", "split_by", "row", "data", "another split"),
        ("provenance.fingerprints.questions", QUESTIONS, "x", "questions", "other questions"),
        ("study.settings.evaluation", "temperature", 0.5, "sampling", "sampled otherwise"),
        ("study.settings.evaluation", "engine", "vllm", "sampling", "sampled otherwise"),
        ("study.settings.training", "weight_decay", 0.5, "recipe", "another training recipe"),
    ],
)
def test_what_keeps_rates_from_being_compared_is_said(results, place, key, value, kind, words):
    other = copy.deepcopy(results)
    table = other
    for part in place.split("."):
        table = table[part]
    assert table[key] != value
    table[key] = value
    compared = compare_results(results, other)
    assert compared["unlike"] == [kind]
    assert words in compared["caution"]


def test_a_run_from_before_engines_could_be_chosen_was_sampled_by_ours(results):
    earlier = copy.deepcopy(results)
    del earlier["study"]["settings"]["evaluation"]["engine"]
    assert (
        compare_results(earlier, results)["unlike"] == compare_results(results, results)["unlike"]
    )


def test_runs_without_a_common_curve_are_not_compared(results):
    other = copy.deepcopy(results)
    other["study"]["primary"]["judge"] = "somebody"
    compared = compare_results(results, other)
    assert compared["unlike"] == ["judge"]
    assert compared["caution"] == (
        "No curve of one run has a counterpart, so no rates are side by side; they have, or may "
        "have, another judge."
    )


def test_what_an_import_does_not_tell_counts_as_unlike(results):
    other = copy.deepcopy(results)
    other["provenance"]["fingerprints"] |= {"base": "", "task": None, "questions": {}}
    compared = compare_results(other, copy.deepcopy(other))
    assert compared["unlike"] == ["base", "data", "questions"]
    assert compared["caution"].startswith("The runs have, or may have, another base, other data")


def test_losses_are_compared_of_undefended_arms_alone(results):
    more = copy.deepcopy(results)
    for row in results["arms"]:
        if row["rank"] == 4 and row["role"] == "task":
            changed = {"arm": f"{row['arm']}-kl", "defence": {"label": "kl 0.1"}}
            more["arms"].append(row | changed | {"task_held_out_loss": 9.0})
    assert compare_results(results, more)["losses"] == compare_results(results, results)["losses"]
