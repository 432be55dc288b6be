"""What a defence costs an arm: steps on the task that it goes without, and time that it takes."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from rankshift.analysis.measurements import MeasuredArm
from rankshift.defence import Defence
from rankshift.records import StepRecord, read_if_there
from rankshift.runs import StudyRun


def count_task_steps(
    run: StudyRun, arms: Sequence[MeasuredArm], steps: int
) -> dict[str, float | None]:
    """Count the optimizer steps that defended arms take on rows of their dataset, by arm.

    None where an arm stops of itself and no step of it is recorded.

    Args:
        run: Whose records of steps are read.
        arms: What was measured; those without a defence are left out.
        steps: Optimizer steps of training.

    Raises:
        UserError: A line of an arm's steps is not what it should be; names file and line.
    """
    return {
        arm.id: _count_steps(run, arm.id, arm.arm.defence, steps)
        for arm in arms
        if arm.arm.defence is not None
    }


def share_seconds(entry: Mapping[str, Any], timings: Mapping[str, Any]) -> float | None:
    """Give a defence's own computation as a share of its arms' training time; None if not timed.

    An arm's training time is its group's without all defences, divided by the arms of the group. No
    key of `defences` holds this, for it differs between two runs of one study.

    Args:
        entry: One of `defences` of results.json.
        timings: Its `timings`.
    """
    own = [timings.get(arm, {}) for arm in entry["cost"]["arms"]]
    shares = [
        times["defence_seconds"] / times["arm_seconds"]
        for times in own
        if times.get("arm_seconds") and times.get("defence_seconds") is not None
    ]
    return fmean(shares) if shares else None


def _count_steps(run: StudyRun, arm: str, defence: Defence, steps: int) -> float | None:
    if defence.kind == "interleave":
        return steps * (1 - defence.strength)
    if defence.kind != "early_stop":
        return float(defence.count_own_steps(steps))
    # An arm that has stopped takes part in its group's steps, at a learning rate of 0.
    taken = read_if_there(run.arm(arm).steps_path, StepRecord)
    return float(sum(step.learning_rate > 0 for step in taken)) if taken else None
