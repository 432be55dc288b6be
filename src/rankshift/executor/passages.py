"""Where arms were on their way along the persona's direction: at checkpoints and at equal skill."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rankshift.analysis.measurements import MeasuredArm
from rankshift.export.weights import Weights, find_last
from rankshift.runs import StudyRun


@dataclass(frozen=True)
class Passed:
    """Weights that an arm left on its way."""

    weights: Weights
    marks: tuple[str, ...]
    """What it had come to: `step 20` for a checkpoint, `skill 0.9` for a first crossing."""


def list_passages(
    run: StudyRun, measured: Mapping[str, MeasuredArm], weights: Sequence[Weights]
) -> dict[tuple[str, int], Passed]:
    """List the weights that arms left on their way, by arm and step.

    Args:
        run: Finished.
        measured: Its arms by id.
        weights: Their last ones, which are left out.
    """
    checkpoints = run.read_study()[0].training.checkpoints
    found: dict[tuple[str, int], Passed] = {}
    for last in weights:
        for step, marks in sorted(_list_marks(measured[last.arm_id], checkpoints).items()):
            kept = find_last(run, last.arm_id, last.arm, (step,))
            if kept is not None and step < last.step:
                found[last.arm_id, step] = Passed(kept, tuple(marks))
    return found


def _list_marks(arm: MeasuredArm, checkpoints: Sequence[int]) -> dict[int, list[str]]:
    marks: dict[int, list[str]] = {}
    for step in checkpoints:
        marks.setdefault(step, []).append(f"step {step}")
    for crossing in arm.crossings:
        marks.setdefault(crossing.step, []).append(f"{crossing.kind} {crossing.value:g}")
    return marks


def list_losses(arm: MeasuredArm) -> Mapping[int, float]:
    """Give an arm's loss on held-out rows of its own data, by step."""
    return arm.task_loss if arm.arm.role == "task" else arm.own_loss
