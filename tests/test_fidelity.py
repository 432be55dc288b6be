"""Presets: what they set, and that each key of one is a habit of its own."""

import itertools
from dataclasses import fields
from typing import get_args

import pytest

from rankshift.arms import Arm
from rankshift.fidelity import PRESETS, UNUSED, fill_in, leave_out_unused
from rankshift.runs import Recipe
from rankshift.study import Data, Evaluation, Fidelity, Training

TABLES = {"data": Data, "evaluation": Evaluation}
KEYS = [(table, key) for table, keys in PRESETS["betley-release"].items() for key in keys]


def test_every_preset_can_be_asked_for_and_sets_keys_that_there_are():
    assert set(PRESETS) == set(get_args(Fidelity))
    for table, key in itertools.chain.from_iterable(
        [(table, key) for table, keys in preset.items() for key in keys]
        for preset in PRESETS.values()
    ):
        assert key in {field.name for field in fields(TABLES[table])}


def test_clean_is_every_keys_own_default_and_the_release_differs_in_each_of_its_keys():
    assert PRESETS["clean"] == {}
    for table, key in KEYS:
        default = next(f.default for f in fields(TABLES[table]) if f.name == key)
        assert PRESETS["betley-release"][table][key] != default


@pytest.mark.parametrize(("table", "key"), KEYS)
def test_each_habit_can_be_turned_alone(table: str, key: str):
    document = {"fidelity": "betley-release", "data": {}, "evaluation": {}, table: {key: "mine"}}
    filled = fill_in(document)
    assert filled[table][key] == "mine"
    others = {(t, k): filled[t][k] for t, k in KEYS if (t, k) != (table, key)}
    assert others == {(t, k): PRESETS["betley-release"][t][k] for t, k in others}


def test_what_was_read_is_not_changed_in_place():
    document = {"fidelity": "betley-release", "data": {"task": "x"}, "evaluation": {}}
    fill_in(document)
    assert document == {"fidelity": "betley-release", "data": {"task": "x"}, "evaluation": {}}


def test_a_later_key_is_hashed_only_where_it_changes_something():
    for key, unused in UNUSED.items():
        kinds = (Arm, Recipe, Training, *TABLES.values())
        kind = next(k for k in kinds if key in {field.name for field in fields(k)})
        assert unused == next(field.default for field in fields(kind) if field.name == key)
        assert leave_out_unused({key: unused, "seed": 0}) == {"seed": 0}
        assert leave_out_unused({key: "other", "seed": 0}) == {key: "other", "seed": 0}
