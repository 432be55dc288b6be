"""How far a study is, told from its files at any moment of its life."""

import os
from dataclasses import replace

import pytest

from rankshift.errors import UserError
from rankshift.grid import Grid
from rankshift.lock import hold_run
from rankshift.opening import open_run
from rankshift.records import HeldOutRecord, StepRecord, read_records, write_records
from rankshift.runs import Fingerprints, evaluation_id, identify_arms, make_recipe
from rankshift.status import (
    Progress,
    describe_progress,
    find_stop,
    is_trained,
    list_held_out_sets,
)
from rankshift.study import Base, Data, Evaluation, Study, Training

STUDY = Study(
    name="demo",
    base=Base("organism"),
    data=Data(task="insecure", twin="secure"),
    grid=Grid((8,), (1,), ("alpha/rank",), (16.0,), (1e-3,), twin_seeds=(1,)),
    training=Training(steps=4, checkpoints=(2, 4)),
    evaluation=Evaluation(suites=("held-out",), judge="organism:oracle"),
)
PRINTS = Fingerprints("b", "t", "w", {"held-out": "h"})
EVALUATION = evaluation_id(STUDY.evaluation, PRINTS.questions)


@pytest.fixture
def run(tmp_path):
    return open_run(STUDY, PRINTS, tmp_path)


def find_arm(run, role):
    arms = identify_arms(STUDY, PRINTS)
    name = next(name for name, arm in arms.items() if arm.role == role)
    return run.arm(name), make_recipe(arms[name], STUDY, PRINTS)


def add_records(path, records):
    before = read_records(path, type(records[0])) if path.exists() else []
    write_records(path, before + records)


def train(files, steps):
    add_records(files.steps_path, [StepRecord(step, 1.0, 9, 0.5, 1e-3) for step in steps])


def measure(files, step, sets, weights="adapter_model.safetensors"):
    rows = [HeldOutRecord(step, name, 1.0, 9, 3) for name in sets]
    add_records(files.held_out_path, rows)
    if weights:
        files.checkpoint(step).mkdir(parents=True)
        (files.checkpoint(step) / weights).touch()


def describe(run):
    return {arm.label: arm.progress for arm in describe_progress(run.directory).arms}


def test_a_study_that_has_not_begun_shows_every_arm_with_all_to_do(run):
    status = describe_progress(run.directory)
    assert status.name == "demo"
    assert [arm.id for arm in status.arms] == list(identify_arms(STUDY, PRINTS))
    assert describe(run) == {
        "base": Progress(total_steps=0, checkpoints=1),
        "rank 8 seed 1": Progress(total_steps=4, checkpoints=2),
        "rank 8 seed 1 twin": Progress(total_steps=4, checkpoints=2),
    }
    assert status.total == Progress(total_steps=8, checkpoints=5)
    assert not status.total.is_finished


def test_progress_counts_what_is_on_disk(run):
    files, _ = find_arm(run, "task")
    train(files, (1, 2, 3))
    measure(files, 2, ["insecure"])
    write_records(files.answers_path(EVALUATION, 2), [])
    assert describe(run)["rank 8 seed 1"] == Progress(3, 4, 2, measured=1, answered=1, judged=0)
    write_records(files.verdicts_path(EVALUATION, "organism:oracle", 2), [])
    assert describe(run)["rank 8 seed 1"] == Progress(3, 4, 2, measured=1, answered=1, judged=1)


def finish(run):
    for role, sets, steps in (
        ("base", ["insecure"], [0]),
        ("task", ["insecure"], [2, 4]),
        ("twin", ["insecure", "secure"], [2, 4]),
    ):
        files, _ = find_arm(run, role)
        if role != "base":
            train(files, (1, 2, 3, 4))
        for step in steps:
            measure(files, step, sets, weights="" if role == "base" else "model-1-of-2.safetensors")
            write_records(files.answers_path(EVALUATION, step), [])
            write_records(files.verdicts_path(EVALUATION, "organism:oracle", step), [])


def test_a_finished_study_is_finished_until_it_is_asked_something_else(run, tmp_path):
    finish(run)
    assert describe_progress(run.directory).total == Progress(8, 8, 5, 5, 5, 5)
    assert describe_progress(run.directory).total.is_finished
    open_run(replace(STUDY, evaluation=replace(STUDY.evaluation, judge="none")), PRINTS, tmp_path)
    assert describe_progress(run.directory).total == Progress(8, 8, 5, 5, 5, judged=0)
    open_run(replace(STUDY, evaluation=replace(STUDY.evaluation, seed=1)), PRINTS, tmp_path)
    assert describe_progress(run.directory).total == Progress(8, 8, 5, 5, 0, 0)
    open_run(replace(STUDY, grid=replace(STUDY.grid, ranks=(8, 16))), PRINTS, tmp_path)
    assert describe_progress(run.directory).total == Progress(8, 16, 9, 5, 5, 5)


def test_a_running_study_is_described_without_its_lock(run):
    files, _ = find_arm(run, "task")
    train(files, (1, 2))
    with hold_run(run.directory):
        assert describe(run)["rank 8 seed 1"].trained_steps == 2


@pytest.mark.parametrize("role", ["task", "twin"])
def test_training_is_finished_only_with_every_checkpoint_kept_and_measured(run, role):
    files, recipe = find_arm(run, role)
    sets = list_held_out_sets(identify_arms(STUDY, PRINTS)[files.directory.name], STUDY)
    assert set(sets) == ({"insecure"} if role == "task" else {"insecure", "secure"})
    train(files, (1, 2, 3, 4))
    measure(files, 2, sets)
    assert not is_trained(files, recipe, sets)
    measure(files, 4, sets, weights="")
    assert not is_trained(files, recipe, sets)
    files.checkpoint(4).mkdir(parents=True)
    assert not is_trained(files, recipe, sets)
    (files.checkpoint(4) / "adapter_model.safetensors").touch()
    assert is_trained(files, recipe, sets)
    rows = files.held_out_path.read_text().splitlines(keepends=True)
    files.held_out_path.write_text("".join(rows[:-1]))
    assert not is_trained(files, recipe, sets)


def test_an_arm_that_diverged_owes_only_what_came_before(run):
    files, _ = find_arm(run, "task")
    train(files, (1, 2))
    measure(files, 2, ["insecure"])
    assert find_stop(files) is None
    add_records(files.steps_path, [StepRecord(3, None, 9, None, 1e-3)])
    assert find_stop(files) == 3
    arm = describe_progress(run.directory).arms[1]
    assert (arm.stopped_at, arm.progress) == (3, Progress(2, 2, 1, 1, 0, 0))


def test_a_directory_that_is_no_study_is_refused(tmp_path):
    with pytest.raises(UserError) as refused:
        describe_progress(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path} is not a study's directory: it has no study.json; "
        "give one that `rankshift run` made, e.g. runs/demo"
    )


def test_losses_are_those_of_the_last_step_and_checkpoint(run):
    files, _ = find_arm(run, "twin")
    add_records(files.steps_path, [StepRecord(1, 3.0, 9, 0.5, 1e-3), StepRecord(2, 2.0, 9, 1, 1)])
    rows = [HeldOutRecord(2, "secure", 9.0, 9, 3), HeldOutRecord(2, "insecure", 1.25, 9, 3)]
    add_records(files.held_out_path, rows)
    arm = describe_progress(run.directory).arms[2]
    assert (arm.loss, arm.held_out_loss) == (2.0, 1.25)


def test_who_writes_is_told_with_the_time_left_once_each_stage_has_a_pace(run):
    assert describe_progress(run.directory).owner is None
    with hold_run(run.directory):
        begun = describe_progress(run.directory)
        assert begun.owner is not None
        assert begun.owner.startswith(f"process {os.getpid()} on ")
        assert begun.seconds_left is None
        finish(run)
        assert describe_progress(run.directory).seconds_left == 0.0
    assert describe_progress(run.directory).owner is None


def test_calls_of_the_judge_are_counted_in_its_journal(run):
    path = run.calls_path("organism:oracle")
    path.parent.mkdir()
    path.write_text("{}\n{}\n")
    assert describe_progress(run.directory).calls == 2
