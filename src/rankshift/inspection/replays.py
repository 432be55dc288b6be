"""Answers that a run has stored, given again through Inspect, for another judge to read."""

from pathlib import Path

from inspect_ai.solver import Generate, Solver, TaskState, solver

from rankshift.errors import UserError
from rankshift.inspection.arms import FoundArm, find_arm
from rankshift.inspection.samples import make_output
from rankshift.inspection.usage import as_prerequisite
from rankshift.records import AnswerRecord, read_if_there

Key = tuple[str, int, int]
"""Question, paraphrase and repeat."""


@solver
def replay(arm: str, suite: str) -> Solver:
    """Give the stored answers of an arm in place of a model's.

    Args:
        arm: As `inspection/arms.find_arm` reads it.
        suite: The question set.
    """
    with as_prerequisite():
        found = find_arm(arm)
        answers = {(r.question_id, r.paraphrase, r.repeat): r for r in read_stored(found, suite)}

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        key = (state.metadata["question_id"], state.metadata["paraphrase"], state.epoch - 1)
        with as_prerequisite():
            record = _find(answers, key, arm)
        state.metadata["step"] = record.step
        state.output = make_output(record, found.model)
        state.messages.append(state.output.message)
        state.completed = True
        return state

    return solve


def read_stored(arm: FoundArm, suite: str) -> list[AnswerRecord]:
    """Read the answers of an arm to one question set, at its checkpoint.

    Raises:
        UserError: There are none.
    """
    path: Path = arm.files.answers_path(arm.evaluation, arm.step)
    records = read_if_there(path, AnswerRecord)
    chosen = [record for record in records if record.question_set == suite]
    if not chosen:
        known = ", ".join(dict.fromkeys(record.question_set for record in records)) or "no answers"
        raise UserError(f"{path}: has no answers to {suite}; there are: {known}")
    return chosen


def _find(answers: dict[Key, AnswerRecord], key: Key, arm: str) -> AnswerRecord:
    if key not in answers:
        raise UserError(f"{arm}: stored no answer {key[2] + 1} to question {key[0]}")
    return answers[key]
