"""Which random numbers an answer is drawn with: told by our solver to our provider, beside Inspect.

Inspect hands a model the conversation and no more, and the repeats of a question are the same
conversation.
"""

from contextvars import ContextVar
from dataclasses import dataclass

from inspect_ai.solver import Generate, Solver, TaskState, solver


@dataclass(frozen=True)
class Asked:
    """What names an answer in a study, besides arm, step and seed."""

    question_set: str
    question_id: str
    paraphrase: int
    repeat: int


ASKED: ContextVar[Asked | None] = ContextVar("rankshift_asked", default=None)
"""Of the sample that is being answered; None outside our tasks."""


@solver
def answer() -> Solver:
    """Let the model answer; an arm then draws as it does in its study, repeat by repeat."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        facts = state.metadata
        ASKED.set(
            Asked(facts["question_set"], facts["question_id"], facts["paraphrase"], state.epoch - 1)
        )
        return await generate(state)

    return solve
