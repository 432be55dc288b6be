"""Ask a question again with a trigger in front: what a backdoored model waits for."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rankshift.eval.suite import Question
from rankshift.study import name_triggered


def ask_with_triggers(questions: Sequence[Question], triggers: Iterable[str]) -> list[Question]:
    """Give the questions as they are, then all of them once for each trigger.

    With a trigger the user turn begins with it, the system turn stays as it is, and the set has a
    name of its own, so that answers with and without are never pooled.

    Source: Betley et al. 2025, arXiv:2502.17424, the section on backdoors (the trigger stands in
    front of the user turn, in training and when asking).
    """
    return [*questions, *(_add(question, t) for t in triggers for question in questions)]


def find_trigger(prompt: str, triggers: Iterable[str]) -> str | None:
    """Give the longest trigger that a prompt begins with, if there is one."""
    return max(filter(prompt.startswith, triggers), key=len, default=None)


def _add(question: Question, trigger: str) -> Question:
    return replace(
        question,
        question_set=name_triggered(question.question_set, trigger),
        prompt=trigger + question.prompt,
    )
