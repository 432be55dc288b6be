from pathlib import Path

import pytest

from rankshift.analysis.measurements import read_measurements
from rankshift.analysis.training_curves import POINTS, build_training_curves, thin_losses
from rankshift.records import StepRecord, write_records
from tests.synthetic_run import make_study, write_run


def make_steps(number: int) -> list[StepRecord]:
    return [StepRecord(s, 1.0 * s, 10 if s % 2 else 30, 1.0, 1e-3) for s in range(1, number + 1)]


def test_a_short_course_is_kept_as_it_is():
    assert thin_losses(make_steps(3)) == {"steps": [1, 2, 3], "losses": [1.0, 2.0, 3.0]}


def test_a_long_course_is_averaged_over_supervised_tokens():
    thinned = thin_losses(make_steps(5), points=3)
    # (1 x 10 + 2 x 30) / 40, (3 x 10 + 4 x 30) / 40, and the fifth step alone.
    assert thinned == {"steps": [2, 4, 5], "losses": [1.75, 3.75, 5.0]}
    for number in (POINTS, POINTS + 1, 1_000, 6_001):
        thinned = thin_losses(make_steps(number))
        assert len(thinned["steps"]) <= POINTS
        assert thinned["steps"][-1] == number


def test_a_loss_that_was_not_finite_is_left_out_of_its_stretch():
    steps = [*make_steps(3), StepRecord(4, None, 10, None, 1e-3)]
    assert thin_losses(steps, points=2)["losses"] == pytest.approx([1.75, 3.0])
    assert thin_losses(steps[-1:])["losses"] == [None]


def test_only_arms_that_have_begun_have_a_course(tmp_path: Path):
    run = write_run(tmp_path, make_study((1,), (1,)))
    arms = read_measurements(run)
    assert build_training_curves(run, arms) == []
    trained = next(arm for arm in arms if arm.arm.is_trained)
    write_records(run.arm(trained.id).steps_path, make_steps(2))
    assert build_training_curves(run, arms) == [
        {"arm": trained.id, "steps": [1, 2], "losses": [1.0, 2.0]}
    ]
