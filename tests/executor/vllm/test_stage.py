"""Who is left to vLLM, and as what; what it then does is in tests/services/test_vllm_answers.py."""

from pathlib import Path

import pytest

from rankshift.errors import UserError, WorkError
from rankshift.executor import worker
from rankshift.executor.rejudging import SILENT
from rankshift.executor.run import run_study
from rankshift.executor.vllm.buckets import Due
from rankshift.executor.vllm.child import VARIABLE
from rankshift.executor.vllm.parity import TopTokens, read_reference, reference_path
from rankshift.executor.vllm.request import Asked
from rankshift.executor.vllm.stage import (
    Stage,
    find_unanswered,
    generation_path,
    list_due,
    list_unanswered,
)
from rankshift.model.loading import load_tokenizer
from rankshift.records import AnswerRecord, read_records
from rankshift.study_file import read_study

EDIT = ("[evaluation]", '[evaluation]\nengine = "vllm"')


@pytest.fixture
def trained(make_jobs):
    """Train every arm of a small study, and have our engine do its part."""
    resolved, made = make_jobs(ranks="[4, 600]", edit=EDIT, also=("seeds = [1, 2]", "seeds = [1]"))
    for job in made:
        worker.work(job, lambda *_: None)
    return resolved, made


def name_all(resolved, made):
    """Give everything that is due, as label, step, kind and rank."""
    due = [one for job in made for one in list_due(job, resolved)]
    return sorted(
        (one.label, one.step, one.kind, one.rank) for one in due if "twin" not in one.label
    )


def test_every_arm_at_every_checkpoint_is_due_once_as_what_vllm_can_hold(trained):
    resolved, made = trained
    assert name_all(resolved, made) == [
        ("base", 0, "base", None),
        ("full seed 1", 2, "model", None),
        ("full seed 1", 4, "model", None),
        ("rank 4 seed 1", 2, "adapter", 4),
        ("rank 4 seed 1", 4, "adapter", 4),
        ("rank 600 seed 1", 2, "merged", 600),
        ("rank 600 seed 1", 4, "merged", 600),
    ]
    for job in made:
        for one in list_due(job, resolved):
            expected = resolved.run.arm(one.arm).checkpoint(one.step)
            assert one.folder == (None if one.kind == "base" else expected.resolve())


class Kept:
    """A stage, an arm that is due, and what our engine says of it."""

    def __init__(self, trained, label: str) -> None:
        self.resolved, made = trained
        due = [one for job in made for one in list_due(job, self.resolved)]
        self.due: Due = next(one for one in due if one.label == label and one.step == 4)
        self.job = next(job for job in made if self.due.arm in job.group.arms)
        files = self.resolved.run.arm(self.due.arm)
        self.answers = files.answers_path(self.resolved.evaluation, 4)
        self.generation = generation_path(files, self.resolved.evaluation, 4)
        reference = read_reference(reference_path(files, self.resolved.evaluation, 4))
        assert reference.base is not None
        self.ours, self.base = reference.arm, reference.base
        tokenizer = load_tokenizer(self.job.base_directory)
        self.asked = Asked(self.job.questions, tokenizer, reference)
        self.stage = Stage(self.resolved, Path("python"), SILENT, {})
        self.stage.engine = {"versions": {"vllm": "0"}, "cpu": True}

    def keep(self, arm: TopTokens, base: TopTokens, answers: list[list[int]]) -> None:
        """Take a message as if vLLM had written it."""

        def tell(tops: TopTokens) -> dict[str, object]:
            return {"tokens": tops.tokens, "logprobs": tops.logprobs}

        message = {"arm": tell(arm), "base": tell(base), "answers": answers}
        self.stage.keep(self.due, self.asked, message, "float32")


def test_answers_become_the_same_records_as_ours_cut_at_the_end_token(trained):
    kept = Kept(trained, "rank 4 seed 1")
    (end,) = kept.asked.reference.end_tokens
    number = sum(2 for _ in kept.job.questions)
    tokens = list(kept.asked.tokenizer("hello", add_special_tokens=False)["input_ids"])
    answers = [[*tokens, end, 5], *[tokens * 2] * (number - 1)]
    kept.keep(kept.ours, kept.base, [own[:8] for own in answers])
    first, second, *_ = records = read_records(kept.answers, AnswerRecord)
    assert len(records) == number
    assert (first.answer, first.answer_tokens, first.finished, first.step) == ("hello", 5, True, 4)
    assert (second.answer, second.answer_tokens, second.finished) == ("hellohel", 8, False)
    assert (first.question_id, first.repeat, second.repeat) == (kept.job.questions[0].id, 0, 1)
    assert kept.generation.exists()
    assert list_unanswered(kept.resolved, kept.due.arm) == [2]


def test_of_an_arm_that_vllm_computes_otherwise_nothing_is_written(trained):
    kept = Kept(trained, "rank 4 seed 1")
    with pytest.raises(WorkError, match=r"^rank 4 seed 1 at step 4: in vLLM .* no effect there"):
        kept.keep(kept.base, kept.base, [])
    assert not kept.answers.exists()
    assert not kept.generation.exists()


def test_a_merged_adapter_is_not_held_against_the_engines_own_model_which_is_itself(trained):
    kept = Kept(trained, "rank 600 seed 1")
    kept.keep(kept.ours, kept.ours, [[1]] * sum(2 for _ in kept.job.questions))
    assert kept.answers.exists()
    with pytest.raises(WorkError, match="differ from ours"):
        kept.keep(kept.base, kept.base, [])


def test_a_group_is_left_out_once_all_its_arms_have_answered(trained):
    resolved, made = trained
    groups = [job.group for job in made]
    assert find_unanswered(groups, resolved) == groups
    base = next(job for job in made if job.group.method == "base")
    path = resolved.run.arm(base.group.arms[0]).answers_path(resolved.evaluation, 0)
    path.parent.mkdir(parents=True)
    path.touch()
    assert find_unanswered(groups, resolved) == [g for g in groups if g is not base.group]


def test_without_vllm_a_study_that_asks_for_it_ends_before_anything_is_written(
    write_study, tmp_path, monkeypatch
):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    study = read_study(write_study(edit=EDIT))
    with pytest.raises(UserError, match=f"{VARIABLE} is .*/nowhere, which cannot be run"):
        run_study(study, tmp_path / "runs", SILENT)
    assert not (tmp_path / "runs").exists()
