"""What the first steps of a run's finetunes show, checkpoint by checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from rankshift.analysis.measurements import MeasuredArm
from rankshift.errors import UserError
from rankshift.executor.arm_reader import divide
from rankshift.executor.premises import Premises
from rankshift.export.weights import Weights, find_weights
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
    """Read every arm of the task at its early checkpoints, by id; those without any have none.

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
    for share, step in find_early_steps(training).items():
        for one, values in _read_step(few, premises.direction, run, step):
            drop = base.task_loss[0] - measured[one.arm_id].task_loss[step]
            readings = tuple(Reading(*pair) for pair in {**values, "drop": drop}.items())
            found.setdefault(one.arm_id, ())
            found[one.arm_id] += (EarlyReadings(step, share, readings),)
    return found


def _read_step(
    premises: Premises, direction: Tensor, run: StudyRun, step: int
) -> list[tuple[Weights, dict[str, float]]]:
    try:
        weights, _ = find_weights(run, step)
    except UserError:  # no arm has come so far
        return []
    found: list[tuple[Weights, dict[str, float]]] = []
    for part in divide([one for one in weights if one.arm.role == "task"]):
        found += zip(part, _read_part(premises, direction, part), strict=True)
    return found


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
