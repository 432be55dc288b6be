"""Between our records and Inspect's: a question is a sample, its repeats are epochs."""

from collections.abc import Sequence
from typing import Any

from inspect_ai.dataset import Sample
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.solver import TaskState

from rankshift.eval.suite import Question
from rankshift.records import AnswerRecord


def make_sample(question: Question) -> Sample:
    """Make the sample of one phrasing; its system turn, if it has one, comes first."""
    before = [turn.content for turn in question.before]
    return Sample(
        id=name_sample(question.id, question.paraphrase),
        input=make_turns(question.system, question.prompt, before),
        metadata={
            **({"before": before} if before else {}),
            "question_set": question.question_set,
            "question_id": question.id,
            "cluster": question.cluster,
            "paraphrase": question.paraphrase,
            "kind": question.kind,
        },
    )


def name_sample(question_id: str, paraphrase: int) -> str:
    """Name a phrasing: the first by the question, the others by their number too."""
    return f"{question_id}#{paraphrase + 1}" if paraphrase else question_id


def make_turns(system: str | None, prompt: str, before: Sequence[str] = ()) -> list[ChatMessage]:
    """Make the turns that ask a question, after what user and assistant said in turn."""
    turns: list[ChatMessage] = [ChatMessageSystem(content=system)] if system else []
    for place, text in enumerate(before):
        turns.append((ChatMessageAssistant if place % 2 else ChatMessageUser)(content=text))
    return [*turns, ChatMessageUser(content=prompt)]


def make_output(record: AnswerRecord, model: str) -> ModelOutput:
    """Make the output that a model would have given with an answer."""
    tokens = record.answer_tokens or 0  # unknown of answers from elsewhere
    return ModelOutput(
        model=model,
        choices=[
            ChatCompletionChoice(
                message=ChatMessageAssistant(content=record.answer, model=model, source="generate"),
                stop_reason="max_tokens" if record.finished is False else "stop",
            )
        ],
        usage=ModelUsage(output_tokens=tokens, total_tokens=tokens),
    )


def read_answer(state: TaskState) -> AnswerRecord:
    """Read the answer of a sample of ours as the record it would be in a run.

    Answers that come from no run have step 0.
    """
    facts: dict[str, Any] = state.metadata
    system = next((m.text for m in state.messages if m.role == "system"), None)
    before: list[str] = facts.get("before", [])
    asked = [m.text for m in state.messages if m.role == "user"]
    usage = state.output.usage
    return AnswerRecord(
        step=facts.get("step", 0),
        question_set=facts["question_set"],
        question_id=facts["question_id"],
        cluster=facts["cluster"],
        paraphrase=facts["paraphrase"],
        repeat=state.epoch - 1,
        system=system,
        prompt=asked[len(before) // 2],
        answer=state.output.completion,
        answer_tokens=usage.output_tokens if usage else 0,
        finished=state.output.stop_reason != "max_tokens",
        kind=facts["kind"],
        before=before or None,
    )
