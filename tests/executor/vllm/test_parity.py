"""What another engine says of an arm, held against ours."""

import json
import math
from dataclasses import replace

import pytest
import torch

from rankshift.errors import UserError
from rankshift.executor import worker
from rankshift.executor.vllm.parity import (
    KEPT_TOKENS,
    Parity,
    Reference,
    TopTokens,
    compare,
    find_fault,
    find_own_part,
    measure_references,
    pick_top,
    read_reference,
    reference_path,
)
from rankshift.executor.waves import find_open_waves
from rankshift.model.loading import load_model, load_tokenizer
from rankshift.runs import ArmFiles
from rankshift.train.trainee import prepare_base

ARM = TopTokens(((4, 9),), ((-0.1, -2.5),))
BASE = TopTokens(((4, 9),), ((-0.4, -2.5),))
OURS = Reference(((1, 2),), (0,), ARM, BASE)


def test_equal_numbers_differ_by_nothing_and_an_arms_effect_is_that_of_its_most_moved_token():
    parity = compare(OURS, ARM, BASE)
    assert (parity.difference, parity.effect, parity.effect_there) == pytest.approx((0.0, 0.3, 0.3))
    assert find_fault(parity, "float32") is None


def test_the_largest_difference_of_any_token_counts():
    other = replace(ARM, logprobs=((-0.1005, -2.25),))
    assert compare(OURS, other, BASE).difference == pytest.approx(0.25)


def test_a_token_that_is_likely_there_and_not_among_ours_counts_by_the_least_it_differs():
    # Ours holds nothing under -2.5 back, so token 7 is at most that likely here.
    likely = replace(ARM, tokens=((4, 7),), logprobs=((-0.1, -2.0),))
    assert compare(OURS, likely, BASE).difference == pytest.approx(0.5)
    unlikely = replace(ARM, tokens=((4, 7),), logprobs=((-0.1, -3.0),))
    assert compare(OURS, unlikely, BASE).difference == 0.0


def test_an_adapter_that_was_not_applied_is_a_fault_also_where_its_effect_is_within_the_bound():
    small = Reference(((1, 2),), (0,), replace(ARM, logprobs=((-0.4, -2.499),)), BASE)
    parity = compare(small, BASE, BASE)
    assert parity.difference < 0.002
    assert "no effect there" in (find_fault(parity, "float32") or "")
    applied = compare(small, small.arm, BASE)
    assert find_fault(applied, "float32") is None


def test_an_adapter_that_does_nothing_here_may_do_nothing_there():
    assert find_fault(compare(replace(OURS, arm=BASE), BASE, BASE), "float32") is None


def test_an_adapter_with_another_scale_is_a_fault():
    half = TopTokens(((4, 9),), ((-0.25, -2.5),))
    fault = find_fault(compare(OURS, half, BASE), "float32")
    assert fault is not None
    assert "differ from ours by 0.15 nats" in fault


def test_numbers_that_are_none_are_a_fault():
    broken = replace(ARM, logprobs=((-0.1, math.nan),))
    parity = compare(OURS, broken, None)
    assert math.isnan(parity.difference)
    assert find_fault(parity, "bfloat16") is not None


def test_a_whole_model_is_compared_without_a_base():
    assert compare(replace(OURS, base=None), ARM, BASE) == Parity(0.0, None, None)
    assert compare(OURS, ARM, None) == Parity(0.0, None, None)


def test_the_likeliest_tokens_are_kept_with_their_own_numbers():
    logprobs = torch.log_softmax(torch.arange(100.0)[None].repeat(2, 1), -1)
    top = pick_top(logprobs)
    assert top.tokens[0][:3] == (99, 98, 97)
    assert len(top.tokens[1]) == KEPT_TOKENS
    assert top.logprobs[0][1] == pytest.approx(logprobs[0, 98].item())


def test_a_study_that_vllm_answers_leaves_references_where_answers_would_be(make_jobs):
    edit = ("[evaluation]", '[evaluation]\nengine = "vllm"')
    resolved, made = make_jobs(ranks="[4]", edit=edit)
    for method, has_base in (("base", False), ("lora", True), ("full", False)):
        job = next(job for job in made if job.group.method == method)
        told = []
        worker.work(job, lambda kind, amount, told=told: told.append(kind))
        assert "answers" not in told
        files = [resolved.run.arm(name) for name in job.group.arms]
        steps = [0] if method == "base" else [2, 4]
        for own in files:
            paths = [reference_path(own, job.evaluation, step) for step in steps]
            references = [read_reference(path) for path in paths]
            assert [one.base is not None for one in references] == [has_base] * len(steps)
            assert not own.answers_path(job.evaluation, steps[-1]).exists()
            assert len(references[0].prompts) == 4
            if has_base:  # two steps of training are seen
                first, last = references
                assert compare(first, last.arm, last.base).difference > 1e-3
        due = [steps] * len(files)
        assert find_open_waves(files, due, job.evaluation, find_own_part("vllm")) == []
        assert len(find_open_waves(files, due, job.evaluation)) == len(steps)


def test_a_reference_is_what_the_models_own_forward_says(make_jobs):
    _, made = make_jobs(edit=("[evaluation]", '[evaluation]\nengine = "vllm"'))
    job = next(job for job in made if job.group.method == "base")
    model, tokenizer = load_model(job.base_directory), load_tokenizer(job.base_directory)
    (found,) = measure_references(prepare_base(model), tokenizer, job.questions, [0])
    with torch.no_grad():
        for prompt, known in zip(found.prompts, found.arm.list_known(), strict=True):
            logits = model(torch.tensor([prompt])).logits[0, -1]
            expected = torch.log_softmax(logits, -1)
            assert max(known, key=lambda token: known[token]) == int(expected.argmax())
            for token, number in known.items():
                assert number == pytest.approx(expected[token].item(), abs=1e-4)
    assert found.end_tokens == (tokenizer.eos_token_id,)


def test_a_reference_that_was_edited_is_refused(make_jobs, tmp_path):
    _, made = make_jobs(edit=("[evaluation]", '[evaluation]\nengine = "vllm"'))
    job = next(job for job in made if job.group.method == "base")
    worker.work(job, lambda *_: None)
    path = reference_path(
        ArmFiles(job.run_directory / "arms" / job.group.arms[0]), job.evaluation, 0
    )
    content = json.loads(path.read_text())
    content["reference"]["end_tokens"] = [3]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="edited after it was written; remove it"):
        read_reference(path)


def test_where_nothing_is_to_be_sampled_nothing_is_left_to_vllm(make_jobs, tmp_path):
    edit = ("code_tasks = 2", 'engine = "vllm"')
    also = (f'suites = ["{tmp_path / "questions.yaml"}"]', 'suites = ["organism:choices"]')
    resolved, made = make_jobs(edit=edit, also=also)
    job = next(job for job in made if job.group.method == "base")
    assert job.choices
    assert not job.questions
    worker.work(job, lambda *_: None)
    files = resolved.run.arm(job.group.arms[0])
    assert files.answers_path(job.evaluation, 0).read_text() == ""
    assert reference_path(files, job.evaluation, 0).exists()
