import anyio
from inspect_ai.model import ModelName, ModelOutput
from inspect_ai.solver import Generate, TaskState

from rankshift.eval.suite import Question
from rankshift.inspection.draws import ASKED, Asked, answer
from rankshift.inspection.samples import make_sample


def ask(question: Question, repeat: int) -> TaskState:
    sample = make_sample(question)
    assert isinstance(sample.input, list)
    return TaskState(
        model=ModelName("m/x"),
        sample_id=sample.id or "",
        epoch=repeat + 1,
        input=sample.input,
        messages=list(sample.input),
        output=ModelOutput(),
        metadata=sample.metadata or {},
    )


def test_a_model_is_told_which_answer_it_gives_and_samples_side_by_side_do_not_mix():
    heard: dict[tuple[object, int], Asked | None] = {}

    async def generate(state: TaskState, *_: object, **__: object) -> TaskState:
        await anyio.sleep(0.01)  # the others come in between
        heard[state.sample_id, state.epoch] = ASKED.get()
        return state

    async def ask_all() -> None:
        told: Generate = generate  # type: ignore[assignment]
        async with anyio.create_task_group() as group:
            for paraphrase in (0, 1):
                for repeat in (0, 1, 2):
                    question = Question("mine", "q", "q", paraphrase, "?")
                    group.start_soon(answer(), ask(question, repeat), told)

    anyio.run(ask_all)
    assert heard == {
        (name, repeat + 1): Asked("mine", "q", paraphrase, repeat)
        for paraphrase, name in enumerate(("q", "q#2"))
        for repeat in (0, 1, 2)
    }
    assert ASKED.get() is None
