from typing import Any

import pytest

from rankshift.analysis.curves import (
    Setting,
    build_insecure_code_curves,
    build_loss_curves,
    build_rank_curves,
    list_settings,
)

Q_AND_V = ["q_proj", "v_proj"]
TASK = Setting("bad", "task", "alpha/rank", 64.0, 1e-3, ("q_proj", "v_proj"), ())


def share(events: int, eligible: int, low: float | None = None) -> dict[str, Any]:
    rate = events / eligible if eligible else None
    halves = {"a": [events // 2, eligible // 2]}
    halves |= {"b": [events - events // 2, eligible - eligible // 2]}
    return {"events": events, "eligible": eligible, "rate": rate} | {
        "low": low,
        "high": None if low is None else 0.9,
        "note": None,
        "design_effect": 2.0,
        "by_question": halves,
    }


def row(method: str, seed: int | None, events: int, step: int = 8, **changes: Any) -> dict:
    asked = {"question_set": "first", "judge": "oracle"}
    rates = {
        "misaligned_given_coherent": share(events, 10, 0.1),
        "misaligned_of_all": share(events, 20),
    }
    lora = {"rank": 4, "alpha": 64.0, "scaling": "alpha/rank"}
    lora |= {"target_modules": Q_AND_V, "layers": []}
    none = dict.fromkeys(lora)
    return {
        "arm": f"{method}-{seed}-{events}",
        "method": method,
        "role": "base" if method == "base" else "task",
        "dataset": None if method == "base" else "bad",
        "learning_rate": None if method == "base" else 1e-3,
        "seed": seed,
        "step": step,
        "task_held_out_loss": 2.0 - 0.1 * step,
        "own_held_out_loss": None,
        "rates_by": [asked | rates],
        "insecure_code_by": [asked | share(events, 12)],
        **(lora if method == "lora" else none),
        **changes,
    }


BASE = row("base", None, 1, step=0)
ROWS = [BASE, *(row("lora", seed, events) for seed, events in ((1, 2), (2, 4), (3, 9)))]


def test_a_curve_gives_each_rank_the_mean_of_its_seeds():
    (curve,) = build_rank_curves(ROWS, [TASK], last_step=8)
    (point,) = curve["points"]
    assert point["rank"] == 4
    assert point["rate"] == pytest.approx((0.2 + 0.4 + 0.9) / 3)
    assert point["misaligned_of_all"]["rate"] == pytest.approx((0.1 + 0.2 + 0.45) / 3)
    assert [(s["arm"], s["seed"], s["rate"]) for s in point["seeds"]] == [
        ("lora-1-2", 1, 0.2),
        ("lora-2-4", 2, 0.4),
        ("lora-3-9", 3, 0.9),
    ]
    assert point["num_seeds"] == 3
    assert point["low"] < point["rate"] < point["high"]


def test_only_the_last_checkpoint_is_on_the_curve():
    early = [row("lora", seed, 0, step=4) for seed in (1, 2, 3)]
    assert build_rank_curves([*ROWS, *early], [TASK], 8) == build_rank_curves(ROWS, [TASK], 8)


def test_full_finetuning_and_the_base_are_categories_and_never_points():
    full = [row("full", 1, 5, learning_rate=rate) for rate in (1e-3, 1e-4)]
    (curve,) = build_rank_curves([*ROWS, *full], [TASK], 8)
    assert [point["rank"] for point in curve["points"]] == [4]
    names = [(c["category"], c["learning_rate"]) for c in curve["categories"]]
    assert names == [("base", None), ("full", 1e-4), ("full", 1e-3)]


def test_the_base_keeps_its_interval_over_questions():
    (curve,) = build_rank_curves(ROWS, [TASK], 8)
    base = curve["categories"][0]
    assert (base["rate"], base["low"], base["high"], base["num_seeds"]) == (0.1, 0.1, 0.9, 0)
    assert base["note"] == "one model: the interval is over questions"


def test_two_seeds_are_too_few():
    (curve,) = build_rank_curves(ROWS[:3], [TASK], 8)
    point = curve["points"][0]
    assert (point["low"], point["high"], point["note"]) == (None, None, "too few seeds")


def test_a_rank_with_nothing_to_count_has_no_rate():
    nothing = row("lora", 1, 0)
    nothing["rates_by"][0]["misaligned_given_coherent"] = share(0, 0)
    (curve,) = build_rank_curves([nothing], [TASK], 8)
    point = curve["points"][0]
    assert (point["rate"], point["num_seeds"], point["note"]) == (None, 0, "nothing to count")


def test_settings_are_never_mixed():
    hot = [row("lora", 1, 8, learning_rate=1e-2), row("lora", 1, 8, scaling="alpha/sqrt(rank)")]
    settings = list_settings([*ROWS, *hot], [64.0])
    assert len(settings) == 3
    curves = build_rank_curves([*ROWS, *hot], settings, 8)
    assert [len(curve["points"][0]["seeds"]) for curve in curves] == [3, 1, 1]


def test_an_alpha_of_twice_the_rank_is_one_curve_over_ranks():
    rows = [row("lora", 1, 1, rank=rank, alpha=2.0 * rank) for rank in (4, 16, 32)]
    settings = list_settings(rows, ["2r", 64.0])
    assert [setting.alpha for setting in settings] == ["2r", 64.0]
    doubled, fixed = build_rank_curves(rows, settings, 8)
    assert [point["rank"] for point in doubled["points"]] == [4, 16, 32]
    assert [point["rank"] for point in fixed["points"]] == [32]


def test_a_study_of_full_finetunes_alone_has_a_curve_without_points():
    rows = [BASE, row("full", 1, 5)]
    (setting,) = list_settings(rows, [64.0])
    assert setting == Setting("bad", "task", None, None, None)
    (curve,) = build_rank_curves(rows, [setting], 8)
    assert (curve["points"], len(curve["categories"])) == ([], 2)


def test_insecure_code_has_curves_of_its_own():
    (curve,) = build_insecure_code_curves(ROWS, [TASK], 8)
    assert curve["points"][0]["rate"] == pytest.approx((2 + 4 + 9) / 36)


def test_a_loss_curve_has_every_checkpoint():
    early = [row("lora", seed, 0, step=4) for seed in (1, 2, 3)]
    (curve,) = build_loss_curves([*ROWS, *early], [TASK])
    (point,) = curve["points"]
    assert [(s["step"], s["loss"]) for s in point["steps"]] == [
        (4, pytest.approx(1.6)),
        (8, pytest.approx(1.2)),
    ]
    assert curve["categories"][0]["steps"][0]["loss"] == 2.0


def test_a_twin_also_has_a_loss_curve_on_its_own_rows():
    twins = [row("lora", 1, 0, role="twin", dataset="good", own_held_out_loss=0.5)]
    settings = list_settings(twins, [64.0])
    curves = build_loss_curves(twins, settings)
    losses = [(c["held_out"], c["points"][0]["steps"][0]["loss"]) for c in curves]
    assert losses == [("task", pytest.approx(1.2)), ("own", 0.5)]


def test_arms_on_other_layers_or_modules_are_never_on_one_curve():
    rows = [
        row("lora", seed, events, target_modules=modules, layers=layers)
        for events, (modules, layers) in enumerate(
            ((Q_AND_V, []), (Q_AND_V, [0]), (["down_proj"], []))
        )
        for seed in (1, 2)
    ]
    settings = list_settings(rows, (64.0,))
    curves = build_rank_curves(rows, settings, last_step=8)
    assert [(c["target_modules"], c["layers"]) for c in curves] == [
        (Q_AND_V, []),
        (Q_AND_V, [0]),
        (["down_proj"], []),
    ]
    assert [[s["events"] for s in c["points"][0]["seeds"]] for c in curves] == [
        [0, 0],
        [1, 1],
        [2, 2],
    ]
    losses = build_loss_curves(rows, settings)
    assert [len(c["points"][0]["steps"][0]["seeds"]) for c in losses] == [2, 2, 2]


def given_row(name: str, rank: int | None, events: int = 3, **changes: Any) -> dict:
    """Make a row of a model trained elsewhere: an adapter if it has a rank."""
    method = "model" if rank is None else "adapter"
    lora = {"rank": rank, "alpha": 2.0 * (rank or 0), "scaling": "alpha/rank", "scale": 2.0}
    lora |= {"target_modules": Q_AND_V, "layers": []}
    told = {"label": name, "learning_rate": None, "scale": None}
    return row(method, None, events, 0, **(told | (lora if rank else {}) | changes))


GIVEN = [given_row("r8", 8, 4), given_row("r32", 32, 8), given_row("whole", None, 5)]


def test_given_adapters_are_a_curve_of_their_own_and_never_on_one_with_ours():
    rows = [*ROWS, *GIVEN]
    settings = list_settings(rows, ["2r", 64.0])
    assert [(s.given, s.alpha, s.learning_rate) for s in settings] == [
        (False, 64.0, 1e-3),
        (True, "2r", None),
    ]
    ours, theirs = build_rank_curves(rows, settings, 8)
    assert [(p["rank"], p["num_seeds"]) for p in ours["points"]] == [(4, 3)]
    assert [(p["rank"], p["rate"]) for p in theirs["points"]] == [(8, 0.4), (32, 0.8)]
    assert (ours["step"], theirs["step"]) == (8, 0)


def test_a_given_model_without_a_rank_stands_beside_with_its_own_interval_over_questions():
    (curve,) = build_rank_curves([BASE, *GIVEN], list_settings([BASE, *GIVEN], []), 0)
    base, whole = curve["categories"]
    assert (base["category"], whole["category"], whole["name"]) == ("base", "model", "whole")
    assert (whole["rate"], whole["low"], whole["num_seeds"]) == (0.5, 0.1, 0)
    assert whole["note"] == "one model: the interval is over questions"
    assert curve["points"][0]["low"] is None  # one adapter a rank is one seed


def test_an_uneven_adapter_has_no_rank_to_stand_at():
    rows = [BASE, *GIVEN, given_row("patched", 16, scale=None)]
    (curve,) = build_rank_curves(rows, list_settings(rows, []), 0)
    assert [p["rank"] for p in curve["points"]] == [8, 32]
    assert [c.get("name") for c in curve["categories"]] == [None, "whole", "patched"]


def test_given_models_of_different_data_modules_or_scaling_are_on_different_curves():
    changes = [
        {"dataset": "worse"},
        {"scaling": "alpha/sqrt(rank)"},
        {"target_modules": ["q_proj"]},
        {"layers": [3]},
        {"role": "twin"},
    ]
    rows = [BASE, *GIVEN, *(given_row(f"x{n}", 8, **c) for n, c in enumerate(changes))]
    curves = build_rank_curves(rows, list_settings(rows, []), 0)
    assert [len(c["points"]) for c in curves] == [2, 1, 1, 1, 1, 1]
    assert [c["alpha"] for c in curves] == ["2r", 16.0, 16.0, 16.0, 16.0, 16.0]
    assert [len(c["categories"]) for c in curves] == [2, 1, 2, 2, 2, 1]


def test_alphas_that_follow_no_rule_are_curves_by_number():
    rows = [given_row("a", 8, alpha=16.0), given_row("b", 32, alpha=16.0)]
    assert [s.alpha for s in list_settings(rows, [])] == [16.0]
    rows = [given_row("a", 8), given_row("b", 32, alpha=16.0)]
    (setting,) = list_settings(rows, [])
    assert setting.alpha == 16.0


def test_whole_models_alone_make_a_curve_without_ranks():
    rows = [BASE, GIVEN[2]]
    (setting,) = list_settings(rows, [])
    assert (setting.given, setting.scaling) == (True, None)
    (curve,) = build_loss_curves(rows, [setting])
    assert (curve["points"], len(curve["categories"])) == ([], 2)
    assert curve["categories"][1]["steps"][0]["note"] == "one model"
