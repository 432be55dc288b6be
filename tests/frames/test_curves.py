"""Curves as rows: matched readings and what results add to a point are there too."""

from typing import Any

import pytest

from rankshift.analysis.results import summarize
from rankshift.frames.curves import list_curves, list_seeds
from tests.synthetic_run import write_run


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return summarize(write_run(tmp_path_factory.mktemp("runs")))


def test_full_finetuning_and_the_base_are_no_ranks_and_keep_their_own_learning_rates(results):
    curves: Any = list_curves(results)
    assert set(curves["category"]) == {"rank", "base", "full"}
    assert curves[curves["category"] != "rank"]["rank"].isna().all()
    assert curves[curves["category"] == "base"]["learning_rate"].isna().all()
    assert set(curves[curves["category"] == "full"]["learning_rate"]) == {1e-4}
    assert set(curves[curves["category"] == "rank"]["learning_rate"]) == {1e-3}


def test_a_matched_curve_is_told_by_its_reading_and_its_seeds_keep_their_steps(results):
    curve = results["curves"][0]
    seed = {"arm": "a", "seed": 1, "step": 3, "reached": 0.91, "loss": 1.5}
    seed |= {"events": 1, "eligible": 4, "rate": 0.25}
    point = {"rank": 4, "rate": 0.25, "low": None, "high": None, "note": "too few seeds"}
    point |= {"num_seeds": 1, "seeds": [seed], "censored": [], "refused": []}
    matched = {k: v for k, v in curve.items() if k not in ("points", "categories", "step")}
    matched |= {"match": {"kind": "skill", "value": 0.9}, "points": [point], "categories": []}
    both = results | {"matched_curves": [matched]}
    rows: Any = list_curves(both)
    (row,) = rows[rows["reading"] == "skill 0.9"].to_dict("records")
    assert (row["rank"], row["rate"], row["note"]) == (4, 0.25, "too few seeds")
    seeds: Any = list_seeds(both)
    (row,) = seeds[seeds["reading"] == "skill 0.9"].to_dict("records")
    assert (row["arm"], row["step"], row["reached"], row["rate"]) == ("a", 3, 0.91, 0.25)


def test_what_results_add_to_a_point_gets_columns_of_its_own(results):
    point = results["curves"][0]["points"][0]
    new = {"rate": 0.5, "low": 0.4, "high": 0.6, "note": None, "variance": {"seed": 0.1}}
    grown = point | {"new_questions": new, "icc": 0.2}
    curve = results["curves"][0] | {"points": [grown]}
    row = list_curves(results | {"curves": [curve]}).iloc[0]
    assert (row["new_questions"], row["new_questions_low"], row["icc"]) == (0.5, 0.4, 0.2)
    assert row["new_questions_variance_seed"] == 0.1
