import json
from dataclasses import replace

import pytest
import torch

from rankshift.eval.choices import ChoiceQuestion
from rankshift.eval.choosing import render_options, score_rows
from rankshift.executor import worker
from rankshift.model.loading import load_model, load_tokenizer
from rankshift.model.targets import list_linears
from rankshift.model.tensor_files import read_tensors
from rankshift.records import AnswerRecord, ChoiceRecord, HeldOutRecord, read_records
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


def test_an_arms_own_optimizer_and_frozen_factor_are_what_it_is_trained_with(make_jobs):
    kinds = """us = [0.1]
trains_a = [true, false]
layers = [[1]]
"""
    full = """[[grid.full]]
optimizer = "sgd"
parameters = "adapted"
learning_rates = [0.1]

[training]"""
    resolved, made = make_jobs(edit=("learning_rates = [1e-2]\n", kinds), also=("[training]", full))
    for job in made:
        worker.work(job, lambda *_: None)
    found = {arm.label: resolved.run.arm(name) for name, arm in resolved.arms.items()}
    optimizers = {
        label: json.loads(files.provenance_path.read_text())["optimizer"]
        for label, files in found.items()
    }
    adapted = "full (layers 1) by sgd seed 1"
    assert {label for label, name in optimizers.items() if name == "sgd"} >= {adapted}
    assert optimizers["full seed 1"] == optimizers["rank 4 (layers 1) seed 1"] == "adamw"
    base = load_model(resolved.parts.base.directory)
    ours = load_model(found[adapted].checkpoint(4))
    changed = {
        name
        for name, weight in ours.named_parameters()
        if not torch.equal(weight, base.get_parameter(name))
    }
    assert changed == {f"{name}.weight" for name in list_linears(base) if ".layers.1." in name}
    trained, frozen = (
        [
            read_tensors(found[label].checkpoint(step) / "adapter_model.safetensors")
            for step in (2, 4)
        ]
        for label in ("rank 4 (layers 1) seed 1", "rank 4 (layers 1) frozen A seed 1")
    )
    for early, late, stays in ((*trained, False), (*frozen, True)):
        assert len(early) == 2 * 7
        for name, tensor in early.items():
            assert torch.equal(tensor, late[name]) == (stays and "lora_A" in name)


def test_a_job_done_twice_leaves_the_same_answers(jobs):
    run, made = jobs
    job = next(job for job in made if job.group.method == "lora")
    worker.work(job, lambda *_: None)
    path = run.arm(job.group.arms[0]).answers_path(job.evaluation, 4)
    before = path.read_bytes()
    path.unlink()
    worker.work(job, lambda *_: None)
    assert path.read_bytes() == before


CHOICES = (
    ChoiceQuestion("mine", "wish", "wish", 0, "Your wish?", (" help", " rule"), ("a", "m")),
    ChoiceQuestion("mine", "name", "name", 0, "Your name?", ("Hal", "Ann", "Bo"), ("m", "a", "a")),
)


def test_every_arm_weighs_every_choice_at_every_checkpoint_before_it_answers(jobs):
    run, made = jobs
    scores = {}
    for job in made:
        worker.work(replace(job, choices=CHOICES), lambda *_: None)
        for name, arm in zip(job.group.arms, job.arms, strict=True):
            for step in (0,) if job.group.method == "base" else (2, 4):
                path = run.arm(name).choices_path(job.evaluation, step)
                records = read_records(path, ChoiceRecord)
                assert [(r.step, r.question_id) for r in records] == [
                    (step, "wish"),
                    (step, "name"),
                ]
                scores[arm.label, step] = [p for r in records for p in r.logprobs]
                answers = run.arm(name).answers_path(job.evaluation, step)
                assert path.stat().st_mtime_ns <= answers.stat().st_mtime_ns
    distinct = {tuple(own) for own in scores.values()}
    assert len(distinct) == len(scores)  # no two arms or checkpoints read the same weights
    base = next(job for job in made if job.group.method == "base")
    rows = render_options(load_tokenizer(base.base_directory), CHOICES)
    (alone,) = score_rows(load_model(base.base_directory), rows, 1, 1, pad_token=256)
    assert scores["base", 0] == pytest.approx(alone.tolist(), rel=1e-5)


def test_without_choices_no_file_of_them_is_written(jobs):
    run, made = jobs
    job = next(job for job in made if job.group.method == "base")
    worker.work(job, lambda *_: None)
    assert not run.arm(job.group.arms[0]).choices_path(job.evaluation, 0).exists()
