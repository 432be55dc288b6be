from pathlib import Path

import pytest

from rankshift.analysis.measurements import read_measurements
from rankshift.executor.first_steps import find_early_steps, read_first_steps
from rankshift.executor.foretelling import find_premises
from rankshift.runs import StudyRun
from rankshift.study import Training


@pytest.mark.parametrize(
    ("steps", "checkpoints", "found"),
    [
        (60, (1, 3, 6, 60), {0.01: 1, 0.05: 3, 0.10: 6}),
        (1000, (10, 40, 100, 1000), {0.01: 10, 0.05: 40, 0.10: 100}),
        (1000, (200, 1000), {}),
        (100, (100,), {}),
        (20, (1, 2, 20), {0.01: 1, 0.05: 1, 0.10: 2}),
    ],
)
def test_the_checkpoint_nearest_to_a_share_is_taken_if_it_is_near(steps, checkpoints, found):
    assert find_early_steps(Training(steps=steps, checkpoints=checkpoints)) == found


def test_every_adapter_of_the_task_is_read_and_its_loss_falls_as_was_recorded(foretold: Path):
    run = StudyRun(foretold)
    study, _ = run.read_study()
    measured = {arm.id: arm for arm in read_measurements(run)}
    premises = find_premises(study, None, None)
    found = read_first_steps(premises, run, study.training, measured)
    task = {n for n, arm in measured.items() if arm.arm.role == "task" and arm.arm.is_trained}
    assert set(found) == task
    base = next(arm for arm in measured.values() if arm.arm.method == "base")
    for name, seen in found.items():
        assert [(one.step, one.share) for one in seen] == [(1, 0.01), (1, 0.05), (2, 0.10)]
        first, _, last = ({r.predictor: r.value for r in one.readings} for one in seen)
        assert set(first) == {"shift", "log_odds", "drop"}
        recorded = measured[name].task_loss
        assert last["drop"] == pytest.approx(base.task_loss[0] - recorded[2])
        assert last["drop"] > first["drop"] > 0
        assert abs(last["shift"]) > 0
