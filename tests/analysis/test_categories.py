from typing import Any

from rankshift.analysis.categories import (
    is_defended,
    is_derived,
    kind_of,
    stands_apart,
    stands_beside,
)
from rankshift.analysis.curves import build_rank_curves, list_settings
from tests.analysis.test_curves import Q_AND_V, ROWS, TASK, row


def full(optimizer: str | None = "adamw", rate: float = 1e-3, events: int = 5, **changes: Any):
    return row("full", 1, events, optimizer=optimizer, learning_rate=rate, **changes)


ADAPTED: dict[str, Any] = {"target_modules": Q_AND_V, "layers": []}


def test_full_finetunes_that_differ_in_optimizer_rate_or_trained_layers_are_never_averaged():
    rows = [
        full(events=1),
        full(rate=1e-4, events=2),
        full("sgd", events=3),
        full(events=4, **ADAPTED),
        row("full", 2, 6),
    ]
    (curve,) = build_rank_curves([*ROWS, *rows], [TASK], 8)
    told = [
        (c["parameters"], c["optimizer"], c["learning_rate"], [s["events"] for s in c["seeds"]])
        for c in curve["categories"]
    ]
    assert told == [
        (None, None, None, [1]),  # the base
        ("all", "adamw", 1e-4, [2]),
        ("all", "adamw", 1e-3, [1, 6]),
        ("all", "sgd", 1e-3, [3]),
        ("adapted", "adamw", 1e-3, [4]),
    ]
    assert curve["categories"][-1]["target_modules"] == Q_AND_V


def test_chosen_layers_stand_beside_adapters_on_the_same_layers_only():
    rows = [full(**ADAPTED), full(target_modules=Q_AND_V, layers=[1]), full()]
    (curve,) = build_rank_curves([*ROWS, *rows], [TASK], 8)
    kept = [(c["parameters"], c.get("layers")) for c in curve["categories"]]
    assert kept == [(None, None), ("all", None), ("adapted", [])]
    (alone,) = build_rank_curves(rows, list_settings(rows, []), 8)
    assert [c.get("layers") for c in alone["categories"]] == [None, [], [1]]
    assert stands_beside(kind_of(full()), ("q_proj",), ())


def test_an_optimizer_that_is_not_told_is_null():
    assert kind_of(full(None)).describe()["optimizer"] is None


def test_an_update_that_was_cut_or_scaled_is_derived():
    plain = row("lora", 1, 0)
    assert not is_derived(plain)
    assert is_derived(plain | {"truncated_to": 4})
    assert is_derived(plain | {"norm_to": 3.0})


def test_what_is_derived_or_defended_stands_apart_and_what_is_plain_does_not():
    plain = row("lora", 1, 5, rank=4)
    defended = plain | {"defence": {"label": "kl 0.1"}}
    assert (is_defended(plain), is_defended(defended)) == (False, True)
    assert not stands_apart(plain)
    assert stands_apart(defended)
    assert stands_apart(plain | {"truncated_to": 2})
