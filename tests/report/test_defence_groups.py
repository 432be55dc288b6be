"""How the page puts entries of the defence table together."""

from typing import Any

from rankshift.report.defence_groups import (
    group_defences,
    name_cue,
    name_defences,
)

Entry = dict[str, Any]

NEEDS = dict.fromkeys(("data", "text", "turn", "contrasts", "layer"))


def make_entry(label: str = "kl 0.1", rank: int | None = 4, **changes: Any) -> Entry:
    kind, strength = label.rsplit(" ", 1)
    defence = {"kind": kind.replace(" ", "_"), "strength": float(strength), "label": label}
    entry = {"method": "lora" if rank else "full", "rank": rank, "scaling": "alpha/rank"}
    entry |= {"alpha": 64.0, "learning_rate": 1e-3, "u": None, "trains_a": True, "optimizer": "sgd"}
    entry |= {"target_modules": ["q_proj"], "layers": [], "defence": NEEDS | defence}
    return entry | changes


def test_each_setting_is_a_group_with_its_ranks_in_order_and_full_finetunes_after_them():
    full = make_entry(rank=None, scaling=None, target_modules=None, layers=None)
    entries = [make_entry(rank=16), make_entry(rank=4), make_entry(learning_rate=1e-2), full]
    first, second = group_defences({"defences": entries})
    assert first.places == ("rank 4", "rank 16", "full")
    assert second.places == ("rank 4", "full")
    assert first.title == "alpha 64, alpha/rank, learning rate 0.001, q_proj"


def test_a_full_finetune_of_other_layers_stands_beside_no_adapters():
    full = make_entry(rank=None, scaling=None, target_modules=["v_proj"])
    (group,) = group_defences({"defences": [make_entry(), full]})
    assert group.places == ("rank 4",)


def test_full_finetunes_alone_are_a_group():
    full = make_entry(rank=None, scaling=None, target_modules=None, layers=None)
    (group,) = group_defences({"defences": [full]})
    assert (group.title, group.places) == ("full finetuning", ("full",))


def test_two_full_rates_are_two_places():
    full = make_entry(rank=None, scaling=None, target_modules=None, layers=None)
    (group,) = group_defences({"defences": [make_entry(), full, full | {"learning_rate": 1e-4}]})
    assert group.places == ("rank 4", "full 0.001", "full 0.0001")


def test_results_without_the_key_have_no_group():
    assert group_defences({}) == group_defences({"defences": []}) == []


def test_defences_of_one_label_are_told_apart_by_what_they_need():
    entries = [make_entry("kl 1"), make_entry("steering 2"), make_entry("steering 2")]
    entries[1]["defence"] = entries[1]["defence"] | {"contrasts": "a", "layer": 3}
    entries[2]["defence"] = entries[2]["defence"] | {"contrasts": "b"}
    assert list(name_defences(entries).values()) == [
        "kl 1",
        "steering 2 (a, layer 3)",
        "steering 2 (b)",
    ]


def test_a_cue_is_named_without_the_questions():
    assert name_cue("first after bad.jsonl", "first") == "after bad.jsonl"
    assert name_cue("first + |go|", "first") == "+ |go|"
