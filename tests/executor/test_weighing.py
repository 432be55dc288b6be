"""Each kept checkpoint has one row with the size of its update, whatever trained it."""

import pytest

from rankshift.derivation import list_kept_steps, read_updates, updates_path
from rankshift.executor import worker
from rankshift.executor.weighing import record_updates
from rankshift.model.loading import load_model
from rankshift.model.updates import weigh_linears
from rankshift.records import read_records
from rankshift.weight_records import UpdateRecord


def test_every_trained_arm_has_a_row_for_each_checkpoint_and_the_base_has_no_file(make_jobs):
    resolved, jobs = make_jobs()
    for job in jobs:
        if job.group.role == "twin":
            continue
        worker.work(job, lambda *_: None)
        for name, arm in zip(job.group.arms, job.arms, strict=True):
            files = resolved.run.arm(name)
            if arm.method == "base":
                assert not updates_path(files).exists()
                continue
            records = read_records(updates_path(files), UpdateRecord)
            assert [record.step for record in records] == [2, 4] == list(list_kept_steps(files))
            assert 0 < records[0].norm < records[1].norm
            assert all((record.a_movement is None) == (arm.method == "full") for record in records)
            assert all((record.elsewhere == 0) == (arm.method == "lora") for record in records)
            # In 4 steps of Adam each entry of A moves by at most about its rate a step.
            if arm.method == "lora":
                assert records[1].a_movement == pytest.approx(0.07, abs=0.05)


def test_what_is_measured_hangs_on_the_checkpoints_alone(make_jobs):
    resolved, jobs = make_jobs()
    job = next(job for job in jobs if job.group.method == "lora")
    worker.work(job, lambda *_: None)
    files = [resolved.run.arm(name) for name in job.group.arms]
    before = [updates_path(own).read_bytes() for own in files]
    for own in files:
        updates_path(own).unlink()
        assert read_updates(own) == {}
    norms = weigh_linears(load_model(job.base_directory))
    record_updates(job.arms, files, job.base_directory, "float32", norms)
    assert [updates_path(own).read_bytes() for own in files] == before
