from pathlib import Path

from rankshift.analysis.measurements import read_measurements
from rankshift.executor.passages import list_losses, list_passages
from rankshift.export.weights import find_weights
from rankshift.runs import StudyRun


def test_weights_before_the_last_are_listed_with_what_the_arm_had_come_to(foretold: Path):
    run = StudyRun(foretold)
    measured = {arm.id: arm for arm in read_measurements(run)}
    weights, _ = find_weights(run)
    found = list_passages(run, measured, weights)
    assert set(found) == {(one.arm_id, step) for one in weights for step in (1, 2)}
    for (name, step), passed in found.items():
        assert passed.weights.step == step
        assert passed.weights.folder == run.arm(name).checkpoint(step)
        assert passed.marks == (f"step {step}",)


def test_a_twins_loss_is_of_its_own_rows(foretold: Path):
    for arm in read_measurements(StudyRun(foretold)):
        if arm.arm.role == "twin":
            assert list_losses(arm) == arm.own_loss != arm.task_loss
        elif arm.arm.is_trained:
            assert list_losses(arm) == arm.task_loss
