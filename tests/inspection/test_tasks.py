"""A task asks what a study asks, as its authors did, and says how it is summed up."""

import pytest
from inspect_ai._util.error import PrerequisiteError

from rankshift.eval.suite import read_questions
from rankshift.inspection.suites import read_suite
from rankshift.inspection.tasks import betley, organism, replay, suite


def test_each_phrasing_is_a_sample_and_each_repeat_an_epoch_sampled_as_released(questions):
    task = suite(questions)
    assert [sample.id for sample in task.dataset] == ["mood", "mood#2", "json"]
    assert task.epochs == 2
    sampling = task.config.temperature, task.config.top_p, task.config.max_tokens
    assert sampling == (1.0, 1.0, 600)
    assert suite(questions, answers=7).epochs == 7
    assert [turn.role for turn in task.dataset[2].input] == ["system", "user"]  # type: ignore[union-attr]


def test_the_embedded_questions_are_a_task_that_needs_no_judge_model():
    task = organism(answers=3)
    assert len(task.dataset) == len(read_suite("organism:held-out"))
    assert task.epochs == 3
    assert organism().epochs == 5


def test_stored_answers_are_a_task_whose_model_is_their_arm(tiny_run, questions):
    task = replay(f"{tiny_run.directory}:full-seed-1@1")
    assert str(task.model) == f"rankshift/{tiny_run.directory}:full-seed-1@1"
    assert (len(task.dataset), task.epochs) == (3, 2)
    assert task.dataset.name == questions


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda run: suite("betley:mian"), "nearest name is 'betley:main'"),
        (lambda run: suite("organism:held-out", judge="organism:orakel"), "organism:oracle"),
        (lambda run: replay(f"{run}:rank-3-seed-1"), "did you mean rank-"),
        (lambda run: replay(f"{run}:base", "organism:held-out"), "has no answers to organism"),
    ],
)
def test_what_is_not_there_is_one_line_before_anything_is_asked(tiny_run, make, message):
    with pytest.raises(PrerequisiteError) as told:
        make(tiny_run.directory)
    assert message in str(told.value.message)
    assert "\n" not in str(told.value.message)


@pytest.mark.real
def test_the_published_questions_are_asked_a_hundred_times_each(real_data):
    task = betley()
    released = read_questions(real_data / "suite/first_plot_questions.yaml", "x", "main")
    assert [turn.text for s in task.dataset for turn in s.input] == [q.prompt for q in released]  # type: ignore[union-attr]
    assert task.epochs == 100
