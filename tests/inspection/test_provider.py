"""Inspect asks an arm as it asks any model; what the arm cannot do is refused, not ignored."""

import anyio
import pytest
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import ChatMessageUser, GenerateConfig, ModelOutput

from rankshift.inspection.arms import find_arm
from rankshift.inspection.draws import ASKED, Asked
from rankshift.inspection.provider import ArmAPI
from rankshift.inspection.replays import read_stored

SHORT = GenerateConfig(max_tokens=8)


def ask_together(
    api: ArmAPI,
    prompts: list[str],
    config: GenerateConfig = SHORT,
    asked: list[Asked] | None = None,
) -> list[ModelOutput]:
    """Ask conversations at the same time; give their answers in the same order."""
    outputs: dict[int, ModelOutput] = {}

    async def ask(at: int) -> None:
        ASKED.set(asked[at] if asked else None)
        outputs[at] = await api.generate([ChatMessageUser(content=prompts[at])], [], "none", config)

    async def ask_all() -> None:
        async with anyio.create_task_group() as group:
            for at in range(len(prompts)):
                group.start_soon(ask, at)

    anyio.run(ask_all)
    return [outputs[at] for at in range(len(prompts))]


def test_in_our_tasks_the_answers_are_the_studys_own_and_are_given_together(tiny_run, questions):
    api = ArmAPI(f"{tiny_run.directory}:rank-2-seed-1")
    stored = [a for a in read_stored(find_arm(api.model_name), questions) if a.system is None]
    asked = [Asked(questions, a.question_id, a.paraphrase, a.repeat) for a in stored]
    outputs = ask_together(api, [answer.prompt for answer in stored], asked=asked)
    assert [output.completion for output in outputs] == [answer.answer for answer in stored]
    stops = ["stop" if answer.finished else "max_tokens" for answer in stored]
    assert [output.stop_reason for output in outputs] == stops
    again = ask_together(api, [answer.prompt for answer in stored], asked=asked)  # another loop
    assert [output.completion for output in again] == [output.completion for output in outputs]


def test_elsewhere_repeats_of_a_conversation_differ_and_come_again_with_the_same_seed(tiny_run):
    name = f"{tiny_run.directory}:base"
    first, again = (
        [o.completion for o in ask_together(ArmAPI(name), ["Hello?"] * 4)] for _ in range(2)
    )
    assert len(set(first)) == 4
    assert sorted(first) == sorted(again)
    other = ask_together(ArmAPI(name), ["Hello?"] * 4, GenerateConfig(max_tokens=8, seed=7))
    assert {o.completion for o in other}.isdisjoint(first)


@pytest.mark.parametrize(
    ("config", "word"),
    [
        (GenerateConfig(logprobs=True), "logprobs"),
        (GenerateConfig(top_k=3), "top_k"),
        (GenerateConfig(stop_seqs=["x"]), "stop_seqs"),
    ],
)
def test_a_setting_the_sampler_does_not_know_is_refused(tiny_run, config, word):
    api = ArmAPI(f"{tiny_run.directory}:base")
    with pytest.raises(BaseExceptionGroup) as told:
        ask_together(api, ["Hello?"], config)
    (error,) = told.value.exceptions
    assert isinstance(error, PrerequisiteError)
    assert f"cannot do: {word}" in str(error.message)


def test_model_arguments_and_arms_that_are_not_there_are_refused():
    with pytest.raises(PrerequisiteError):
        ArmAPI("x:base", device="cuda")
    with pytest.raises(BaseExceptionGroup) as told:
        ask_together(ArmAPI("nowhere:base"), ["Hello?"])
    assert "nowhere" in str(told.value.exceptions[0].message)  # type: ignore[attr-defined]
