"""What the first steps of a run's finetunes show, checkpoint by checkpoint."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from rankshift.analysis.measurements import MeasuredArm
from rankshift.executor.arm_reader import divide
from rankshift.executor.premises import Premises
from rankshift.export.weights import Weights, find_last
from rankshift.forecast_records import EarlyReadings, Reading
from rankshift.mechanism.foresight import project
from rankshift.runs import StudyRun
from rankshift.study import Training

SHARES = (0.01, 0.05, 0.10)
"""Of the steps of training, at which a forecast is worth most."""


EVERY = 2
"""Each arm reads every so many-th contrast: what all arms read three times over costs most."""


def find_early_steps(training: Training) -> dict[float, int]:
    """Give the checkpoint nearest to each of `SHARES`, where one lies near enough.

    Near enough is within half of the share's steps, or within one step, and before the end.
    """
    found = {}
    for share in SHARES:
        wanted = share * training.steps
        near = min(training.checkpoints, key=lambda step: abs(step - wanted))
        if abs(near - wanted) <= max(1.0, wanted / 2) and near < training.steps:
            found[share] = near
    return found


def read_first_steps(
    premises: Premises,
    run: StudyRun,
    training: Training,
    measured: Mapping[str, MeasuredArm],
) -> dict[str, tuple[EarlyReadings, ...]]:
    """Read each undefended arm of the task at its early checkpoints, by id, where it has any.

    Args:
        premises: The base and its contrasts.
        run: Begun or finished.
        training: Its recipe.
        measured: Its arms by id.

    Returns:
        `shift`, `log_odds` and `drop` of each: docs/forecast.md.
    """
    base = next(arm for arm in measured.values() if arm.arm.method == "base")
    few = replace(premises, contrasts=premises.contrasts[::EVERY])
    found: dict[str, tuple[EarlyReadings, ...]] = {}
    steps = find_early_steps(training)
    for step in dict.fromkeys(steps.values()):  # short runs have one for several shares
        weights = [
            kept
            for name, arm in measured.items()
            if arm.arm.is_plain and arm.arm.role == "task"
            if (kept := find_last(run, name, arm.arm, (step,))) is not None
        ]
        for one, values in _read_step(few, premises.direction, weights):
            drop = base.task_loss[0] - measured[one.arm_id].task_loss[step]
            readings = tuple(Reading(*pair) for pair in {**values, "drop": drop}.items())
            shares = [share for share, near in steps.items() if near == step]
            seen = tuple(EarlyReadings(step, share, readings) for share in shares)
            found[one.arm_id] = found.get(one.arm_id, ()) + seen
    return found


def _read_step(
    premises: Premises, direction: Tensor, weights: Sequence[Weights]
) -> Iterator[tuple[Weights, dict[str, float]]]:
    for part in divide(weights):
        yield from zip(part, _read_part(premises, direction, part), strict=True)


def _read_part(
    premises: Premises, direction: Tensor, part: Sequence[Weights]
) -> list[dict[str, float]]:
    reader = premises.reader
    model = reader.load_arms(part).model
    means = reader.read(model, premises.own_answers, len(part)).mean(dim=1)
    odds = premises.weigh(model, len(part))
    return [
        {
            "shift": project(own - premises.own_means, direction),
            "log_odds": one - premises.base_log_odds,
        }
        for own, one in zip(means, odds, strict=True)
    ]
