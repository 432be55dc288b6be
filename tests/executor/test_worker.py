import json

import pytest

from rankshift.executor import worker


@pytest.fixture
def jobs(make_jobs):
    resolved, made = make_jobs()
    return resolved.run, made


def test_a_job_reports_every_arm_step_and_every_answered_checkpoint(jobs):
    _, made = jobs
    for job in made:
        done = {"steps": 0, "answers": 0}
        worker.work(job, lambda kind, amount, done=done: done.update({kind: done[kind] + amount}))
        steps = 0 if job.group.method == "base" else 4 * len(job.arms)
        checkpoints = 1 if job.group.method == "base" else 2
        assert done == {"steps": steps, "answers": checkpoints * len(job.arms)}


def test_a_finished_group_leaves_no_state_behind_and_tells_how_it_was_made(jobs):
    run, made = jobs
    job = next(job for job in made if job.group.method == "lora")
    worker.work(job, lambda *_: None)
    assert not run.group(job.group.id).exists()
    facts = json.loads(run.arm(job.group.arms[0]).provenance_path.read_text())
    assert facts["group"]["arms"] == list(job.group.arms)
    assert facts["data"]["train"] + facts["data"]["held_out"] == 40
    assert set(facts["effective_rank"].values()) == {job.arms[0].rank}
    assert facts["versions"]["torch"]
    forms = facts["engine"]["layers"]
    assert set(forms) == set(facts["effective_rank"])
    assert set(forms.values()) <= {"loop", "grouped", "dense"}
    assert facts["engine"]["arms_per_pass"] >= 1


def test_a_job_done_twice_leaves_the_same_answers(jobs):
    run, made = jobs
    job = next(job for job in made if job.group.method == "lora")
    worker.work(job, lambda *_: None)
    path = run.arm(job.group.arms[0]).answers_path(job.evaluation, 4)
    before = path.read_bytes()
    path.unlink()
    worker.work(job, lambda *_: None)
    assert path.read_bytes() == before
