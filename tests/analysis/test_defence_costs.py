"""What defences cost."""

from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.analysis.defence_costs import count_task_steps, share_seconds
from rankshift.analysis.measurements import MeasuredArm
from rankshift.arms import Arm
from rankshift.defence import Defence, DefenceKind
from rankshift.records import StepRecord, write_records
from rankshift.runs import StudyRun

PLAIN = Arm("lora", "task", "rows.jsonl", rank=4, seed=1)


def make_arm(name: str, kind: DefenceKind | None, strength: float = 0.0) -> MeasuredArm:
    defence = None if kind is None else Defence(kind, strength)
    return MeasuredArm(name, replace(PLAIN, defence=defence), {}, {}, {}, {}, None)


def test_most_defences_leave_every_step_to_the_task(tmp_path: Path):
    arms = [
        make_arm("kl", "kl", 0.1),
        make_arm("steered", "steering", 1.0),
        make_arm("plain", None),
    ]
    assert count_task_steps(StudyRun(tmp_path), arms, 32) == {"kl": 32.0, "steered": 32.0}


def test_rows_that_are_not_the_tasks_take_their_share_of_the_steps(tmp_path: Path):
    # A quarter of 30 rows' steps; the last round(0.25 x 30) = 8 steps.
    arms = [make_arm("mixed", "interleave", 0.25), make_arm("after", "realign", 0.25)]
    assert count_task_steps(StudyRun(tmp_path), arms, 30) == {"mixed": 22.5, "after": 22.0}


def test_an_arm_that_stops_takes_the_steps_before_its_learning_rate_is_zero(tmp_path: Path):
    run = StudyRun(tmp_path)
    steps = [StepRecord(s, 1.0, 9, 0.5, 1e-3 if s < 6 else 0.0) for s in range(1, 9)]
    run.arm("stopped").directory.mkdir(parents=True)
    write_records(run.arm("stopped").steps_path, steps)
    arms = [make_arm("stopped", "early_stop", 0.9), make_arm("lost", "early_stop", 0.9)]
    assert count_task_steps(run, arms, 8) == {"stopped": 5.0, "lost": None}


def test_a_defences_time_is_the_mean_share_of_the_arms_that_were_timed():
    entry = {"cost": {"arms": ["a", "b", "c", "d"]}}
    timings = {
        "a": {"defence_seconds": 2.0, "arm_seconds": 10.0},
        "b": {"defence_seconds": 3.0, "arm_seconds": 6.0},
        "c": {"arm_seconds": 6.0},
    }
    assert share_seconds(entry, timings) == pytest.approx((0.2 + 0.5) / 2)
    assert share_seconds(entry, {}) is None
