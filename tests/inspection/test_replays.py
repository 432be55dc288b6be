import anyio
import pytest
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import ModelName, ModelOutput
from inspect_ai.solver import Generate, TaskState

from rankshift.errors import UserError
from rankshift.inspection.arms import find_arm
from rankshift.inspection.replays import read_stored, replay
from rankshift.inspection.samples import make_sample, read_answer
from rankshift.inspection.suites import read_suite


async def never(*_: object, **__: object) -> TaskState:
    raise AssertionError("a model was asked")


def state_of(questions: str, number: int, epoch: int) -> TaskState:
    sample = make_sample(read_suite(questions)[number])
    assert isinstance(sample.input, list)
    return TaskState(
        model=ModelName("m/x"),
        sample_id=sample.id or "",
        epoch=epoch,
        input=sample.input,
        messages=list(sample.input),
        output=ModelOutput(),
        metadata=sample.metadata or {},
    )


def test_a_replayed_answer_is_the_stored_one_and_no_model_is_asked(tiny_run, questions):
    text = f"{tiny_run.directory}:rank-2-seed-1@1"
    solve, generate = replay(text, questions), never
    told: Generate = generate  # type: ignore[assignment]
    stored = read_stored(find_arm(text), questions)
    assert len(stored) == 6
    given = [
        read_answer(anyio.run(solve, state_of(questions, number, epoch), told))
        for number in range(3)
        for epoch in (1, 2)
    ]
    assert [
        (a.question_id, a.paraphrase, a.repeat, a.answer, a.step, a.finished) for a in given
    ] == [(a.question_id, a.paraphrase, a.repeat, a.answer, 1, a.finished) for a in stored]


def test_an_answer_that_was_never_stored_is_named(tiny_run, questions):
    told: Generate = never  # type: ignore[assignment]
    solve = replay(f"{tiny_run.directory}:base", questions)
    with pytest.raises(PrerequisiteError) as error:
        anyio.run(solve, state_of(questions, 0, 3), told)
    assert "stored no answer 3 to question mood" in str(error.value.message)


def test_a_question_set_that_was_not_asked_is_refused_with_those_that_were(tiny_run, questions):
    with pytest.raises(UserError, match=r"has no answers to mine; there are: .*questions.yaml"):
        read_stored(find_arm(f"{tiny_run.directory}:base"), "mine")
