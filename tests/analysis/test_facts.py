"""What arms were made with, and how long it took."""

from dataclasses import replace
from typing import Any

from rankshift.analysis.facts import collect_data, collect_provenance, collect_times
from rankshift.analysis.measurements import MeasuredArm
from rankshift.arms import Arm

BASE = MeasuredArm(
    id="base",
    arm=Arm("base", "base"),
    task_loss={},
    own_loss={},
    answers={},
    facts={},
    stopped_at=None,
)


def make_arm(name: str, **facts: Any) -> MeasuredArm:
    return replace(BASE, id=name, arm=Arm("lora", "task", "rows.jsonl", rank=4), facts=facts)


def test_what_differs_between_arms_is_told_from_what_does_not():
    arms = [make_arm("a", torch="2.13", threads=1), make_arm("b", torch="2.13", threads=2)]
    found = collect_provenance(arms)
    assert found == {"shared": {"torch": "2.13"}, "varying": {"threads": [1, 2]}}


def test_how_long_arms_took_is_not_what_they_were_made_with():
    arms = [make_arm("a", arm_seconds=9.5, defence_seconds=1.5), make_arm("b", arm_seconds=8.0)]
    assert collect_provenance([*arms, BASE]) == {"shared": {}, "varying": {}}
    told = {"a": {"defence_seconds": 1.5, "arm_seconds": 9.5}, "b": {"arm_seconds": 8.0}}
    assert collect_times([*arms, BASE]) == told


def test_rows_of_a_dataset_are_counted_as_its_first_arm_recorded_them():
    arms = [BASE, make_arm("a", data={"read": 3}), make_arm("b", data={"read": 4})]
    assert collect_data(arms) == {"rows.jsonl": {"read": 3}}
