import json
from dataclasses import replace

import pytest

from rankshift.executor import worker
from rankshift.records import AnswerRecord, HeldOutRecord, read_records
from rankshift.runs import identify_arms


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
    assert facts["group"]["fit"]["arms_per_pass"] >= 1
    assert facts["group"]["fit"]["bytes_by_part"]["base"] > 0


def test_a_base_in_4_bits_is_measured_trained_over_and_asked(make_jobs):
    def measure(job, run):
        worker.work(job, lambda *_: None)
        files = run.arm(job.group.arms[0])
        (first, *_) = records = read_records(files.held_out_path, HeldOutRecord)
        assert read_records(files.answers_path(job.evaluation, records[-1].step), AnswerRecord)
        return first.loss, json.loads(files.provenance_path.read_text())

    resolved, exact = make_jobs(
        edit=("full_learning_rates = [1e-3]\n", ""), also=('"tiny"', '"exact"')
    )
    resolved_nf4, made = make_jobs(
        edit=("full_learning_rates = [1e-3]\n", ""), also=("[base]", '[base]\nquantization = "nf4"')
    )
    for method in ("base", "lora"):
        (whole, _), (loss, facts) = (
            measure(next(j for j in jobs if j.group.method == method), r.run)
            for jobs, r in ((exact, resolved), (made, resolved_nf4))
        )
        assert loss == pytest.approx(whole, rel=0.3)
        assert loss != whole
        assert (facts["quantization"], facts["optimizer"]) == ("nf4", "adamw")
        assert facts["versions"]["bitsandbytes"]


def test_in_bfloat16_every_arm_and_the_base_are_measured_and_answer(make_jobs):
    edit = ("rows_per_step = 4", 'rows_per_step = 4\ndtype = "bfloat16"')
    resolved, made = make_jobs(edit=edit)
    exact = identify_arms(
        replace(resolved.study, training=replace(resolved.study.training, dtype="float32")),
        resolved.parts.fingerprints,
    )
    assert not set(exact) & set(resolved.arms)
    for method in ("base", "lora", "full"):
        job = next(job for job in made if job.group.method == method)
        worker.work(job, lambda *_: None)
        files = resolved.run.arm(job.group.arms[0])
        losses = read_records(files.held_out_path, HeldOutRecord)
        assert all(0 < record.loss < 10 for record in losses)
        answers = read_records(files.answers_path(job.evaluation, losses[-1].step), AnswerRecord)
        assert len(answers) > 0
        assert json.loads(files.provenance_path.read_text())["dtype"] == "bfloat16"


def test_a_job_done_twice_leaves_the_same_answers(jobs):
    run, made = jobs
    job = next(job for job in made if job.group.method == "lora")
    worker.work(job, lambda *_: None)
    path = run.arm(job.group.arms[0]).answers_path(job.evaluation, 4)
    before = path.read_bytes()
    path.unlink()
    worker.work(job, lambda *_: None)
    assert path.read_bytes() == before
