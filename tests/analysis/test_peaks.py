from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rankshift.analysis.peaks import KEYS, build_peaks, describe_peak, find_primary, tabulate
from rankshift.inference import Analysis

RANKS = (1, 4, 16, 64)
PRIMARY = {"question_set": "main", "judge": "oracle"}


def make_seed(seed: int | None, arm: str, events: int, eligible: int = 100) -> dict[str, Any]:
    rate = events / eligible if eligible else None
    return {"arm": arm, "seed": seed, "events": events, "eligible": eligible, "rate": rate}


def make_curve(events: tuple[int, ...] = (10, 10, 60, 10), **changes: Any) -> dict[str, Any]:
    """Make a curve of three seeds that differ by one event each, of 100 coherent answers."""
    points = []
    for rank, count in zip(RANKS, events, strict=True):
        seeds = [make_seed(s, f"{rank}-{s}", count + s) for s in (0, 1, 2)]
        of_all = [make_seed(s, f"{rank}-{s}", 5 + s, 200) for s in (0, 1, 2)]
        points.append({"rank": rank, "seeds": seeds, "misaligned_of_all": {"seeds": of_all}})
    setting = dict.fromkeys(KEYS) | {"dataset": "insecure", "role": "task", "given": False}
    setting |= {"scaling": "alpha/rank", "alpha": 16.0, "learning_rate": 1e-3, "layers": []}
    full = {"category": "full", "seeds": [make_seed(0, "full", 99)]}
    return setting | PRIMARY | {"points": points, "categories": [full]} | changes


def test_rates_are_tabulated_by_seed_and_rank_with_their_sampling_variance():
    ranks, values, noise = tabulate(make_curve(), "misaligned_given_coherent")
    assert ranks == [1, 4, 16, 64]
    expected = [[(c + s) / 100 for c in (10, 10, 60, 10)] for s in (0, 1, 2)]
    np.testing.assert_allclose(values, expected)
    assert noise[0, 2] == pytest.approx(60.5 / 101 * 40.5 / 101 / 100)
    assert (noise > 0).all()


def test_full_finetuning_is_no_rank():
    with_full, without = make_curve(), make_curve(categories=[])
    assert describe_peak(with_full, Analysis()) == describe_peak(without, Analysis())
    assert describe_peak(with_full, Analysis())["ranks"] == list(RANKS)


def test_the_outcome_of_the_study_decides_which_rates_are_tested():
    first = describe_peak(make_curve(), Analysis())
    second = describe_peak(make_curve(), Analysis(outcome="misaligned_of_all"))
    assert first["verdict"] == "peak"
    assert (first["block"], first["left"], first["right"]) == ([16], 1, 64)
    assert second["verdict"] == "flat"
    assert second["estimates"] == pytest.approx([0.03] * 4)


def test_seeds_without_an_eligible_answer_are_missing_and_unknown_seeds_stand_alone():
    curve = make_curve()
    curve["points"][0]["seeds"][1] = make_seed(1, "1-1", 0, 0)
    assert np.isnan(tabulate(curve, "misaligned_given_coherent")[1]).sum() == 1
    for point in curve["points"]:
        point["seeds"] = [make_seed(None, f"given {point['rank']}", 10)]
    _, values, _ = tabulate(curve, "misaligned_given_coherent")
    assert values.shape == (4, 4)
    assert describe_peak(curve, Analysis())["reason"] == "one seed per rank"


def test_the_first_task_curve_of_the_primary_questions_judge_and_reading_is_primary():
    twin, other = make_curve(role="twin"), make_curve(judge="other")
    matched = make_curve(match={"kind": "skill", "value": 0.9})
    curves = [twin, other, make_curve(), make_curve(alpha=64.0)]
    at_end = build_peaks(curves, [matched], Analysis(), PRIMARY)
    assert [peak["primary"] for peak in at_end] == [False, False, True, False, False]
    assert [peak["reading"] for peak in at_end] == ["end"] * 4 + ["skill 0.9"]
    at_skill = build_peaks(curves, [matched], Analysis(reading="skill 0.9"), PRIMARY)
    assert [peak["primary"] for peak in at_skill] == [False] * 4 + [True]
    assert find_primary(at_skill) == at_skill[-1]
    assert "once 90% of the drop" in at_skill[-1]["sentence"]


def test_there_is_no_primary_verdict_where_no_curve_has_a_rate():
    empty = make_curve()
    for point in empty["points"]:
        point["seeds"] = [make_seed(0, "a", 0, 0)]
    peaks = build_peaks([empty, make_curve(points=[])], [], Analysis(), PRIMARY)
    assert peaks == []
    assert find_primary(peaks) is None


def test_rules_are_those_that_were_fixed():
    rules = replace(Analysis(), level=0.01, margin=0.7, widest_block=1)
    found = describe_peak(make_curve(), rules)
    assert (found["level"], found["flat"]["margin"]) == (0.01, 0.7)
    assert found["critical_value"] > describe_peak(make_curve(), Analysis())["critical_value"]
