"""The loss on the rows that an arm is trained on, thinned to what a chart can show."""

import math
from collections.abc import Sequence
from typing import Any

from rankshift.analysis.measurements import MeasuredArm
from rankshift.records import StepRecord, read_if_there
from rankshift.runs import StudyRun

POINTS = 64
"""Points of a curve at most."""


def build_training_curves(run: StudyRun, arms: Sequence[MeasuredArm]) -> list[dict[str, Any]]:
    """Build each arm's training loss over steps, for the arms that have begun to train.

    Returns:
        `{arm, steps, losses}` each: the last optimizer step of every stretch, and the mean negative
        log-likelihood over the supervised tokens of its steps, nats per token; None where a
        stretch has no finite loss.

    Raises:
        UserError: A line of an arm's steps is not what it should be; names file and line.
    """
    curves = []
    for arm in arms:
        steps = read_if_there(run.arm(arm.id).steps_path, StepRecord)
        if steps:
            curves.append({"arm": arm.id} | thin_losses(steps))
    return curves


def thin_losses(steps: Sequence[StepRecord], points: int = POINTS) -> dict[str, list[Any]]:
    """Divide steps into stretches of equal length, the last one maybe shorter, and average each."""
    length = math.ceil(len(steps) / points)
    stretches = [steps[at : at + length] for at in range(0, len(steps), length)]
    return {
        "steps": [stretch[-1].step for stretch in stretches],
        "losses": [_average(stretch) for stretch in stretches],
    }


def _average(stretch: Sequence[StepRecord]) -> float | None:
    known = [(s.loss, s.supervised_tokens) for s in stretch if s.loss is not None]
    tokens = sum(count for _, count in known)
    return sum(loss * count for loss, count in known) / tokens if tokens else None
