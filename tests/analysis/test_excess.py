from typing import Any

import numpy as np
import pytest

from rankshift.analysis.excess import build_excess_curves, describe_excess
from rankshift.analysis.intervals import bound_over_seeds


def cell(events: list[int], size: int = 100, first_seed: int = 1, **keys: Any) -> dict[str, Any]:
    seeds = [
        {"arm": f"a{seed}", "seed": seed, "events": count, "eligible": size}
        for seed, count in enumerate(events, start=first_seed)
    ]
    return keys | {"seeds": seeds}


def curve(role: str, dataset: str, points: list[Any], **changes: Any) -> dict[str, Any]:
    full = {"category": "full", "learning_rate": 1e-4} | points[0]
    fixed = {"scaling": "alpha/rank", "alpha": 64.0, "learning_rate": 1e-3, "given": False}
    fixed |= {"target_modules": ["q_proj"], "layers": [], "question_set": "q", "judge": "j"}
    both = [point | {"misaligned_of_all": point} for point in points]
    return (
        {"role": role, "dataset": dataset, "step": 8, "points": both}
        | {"categories": [{"category": "base"}, full | {"misaligned_of_all": full}]}
        | (fixed | changes)
    )


def test_the_excess_is_the_difference_of_the_means_over_seeds():
    found = describe_excess(cell([20, 30, 40]), cell([1, 2, 6], first_seed=7))
    assert found["excess"] == pytest.approx(0.27)
    assert found["low"] < 0.27 < found["high"]
    assert found["num_seeds"] == 3


def test_beside_a_twin_without_an_event_the_interval_is_nearly_the_tasks_own():
    task = np.array([20.0, 30.0, 40.0])
    low, high = bound_over_seeds(task, np.full(3, 1000.0))
    found = describe_excess(cell([20, 30, 40], 1000), cell([0, 0, 0], 1000))
    assert found["high"] == pytest.approx(high)
    assert found["low"] == pytest.approx(low, abs=2e-3)
    assert found["low"] <= low


def test_independent_seeds_add_their_reaches_by_their_squares():
    found = describe_excess(cell([20, 30, 40]), cell([10, 12, 5, 7], first_seed=11))
    (low, high), (twin_low, twin_high) = (
        bound_over_seeds(np.array(events, float), np.full(len(events), 100.0))
        for events in ([20, 30, 40], [10, 12, 5, 7])
    )
    assert found["high"] - 0.215 == pytest.approx(np.hypot(high - 0.3, 0.085 - twin_low))
    assert 0.215 - found["low"] == pytest.approx(np.hypot(0.3 - low, twin_high - 0.085))


def test_seeds_that_rise_and_fall_together_make_the_excess_surer():
    together = describe_excess(cell([20, 30, 40]), cell([10, 20, 30]))
    opposed = describe_excess(cell([20, 30, 40]), cell([30, 20, 10]))
    apart = describe_excess(cell([20, 30, 40]), cell([10, 20, 30], first_seed=4))
    widths = [found["high"] - found["low"] for found in (together, apart, opposed)]
    assert widths == sorted(widths)
    assert widths[0] < widths[1] / 2


def test_pairs_go_by_seed_and_not_by_place():
    task, twin = cell([20, 30, 40]), cell([10, 20, 30])
    expected = describe_excess(task, twin)
    twin["seeds"].reverse()
    assert describe_excess(task, twin) == expected


def test_too_few_seeds_on_either_side_give_a_note():
    found = describe_excess(cell([20, 30, 40]), cell([1, 2]))
    assert (found["low"], found["high"], found["note"]) == (None, None, "too few seeds")
    assert (found["excess"], found["num_seeds"]) == (pytest.approx(0.285), 2)
    nothing = describe_excess(cell([20]), cell([0], size=0))
    assert (nothing["excess"], nothing["note"]) == (None, "nothing to count")


@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_the_interval_covers_the_difference_of_two_skewed_rates(shared: float):
    rng = np.random.default_rng(1)
    hits, shape, truth = 0, (400, 5), 0.1 - 0.01
    # Gamma rates of coefficient of variation 0.8 with a common part over seeds.
    common = rng.gamma(1.5, 1 / 1.5, size=shape)
    task = 0.1 * np.where(rng.random(shape) < shared, common, rng.gamma(1.5, 1 / 1.5, size=shape))
    counts, benign = rng.binomial(240, np.minimum(task, 1)), rng.binomial(240, 0.01 * common)
    for ours, theirs in zip(counts.tolist(), benign.tolist(), strict=True):
        found = describe_excess(cell(ours, 240), cell(theirs, 240))
        hits += found["low"] <= truth <= found["high"]
    assert hits / 400 >= 0.92


def test_a_task_is_set_beside_each_twin_of_its_own_setting_and_ranks():
    task = curve("task", "bad", [cell([20, 30, 40], rank=4), cell([9, 9, 9], rank=8)])
    twins = [
        curve("twin", "good", [cell([1, 2, 3], rank=4), cell([0, 0, 0], rank=16)]),
        curve("twin", "fine", [cell([4, 5, 6], rank=4)]),
        curve("twin", "good", [cell([50, 50, 50], rank=4)], learning_rate=1e-2),
    ]
    found = build_excess_curves([task, *twins])
    assert [(c["dataset"], c["twin"]) for c in found] == [("bad", "good"), ("bad", "fine")]
    assert [[p["rank"] for p in c["points"]] for c in found] == [[4], [4]]
    point = found[0]["points"][0]
    assert point["excess"] == pytest.approx(0.28)
    assert point["misaligned_of_all"]["excess"] == point["excess"]
    assert [c["category"] for c in found[0]["categories"]] == ["full"]


def test_without_a_twin_there_is_no_excess():
    assert build_excess_curves([curve("task", "bad", [cell([1, 2, 3], rank=4)])]) == []
