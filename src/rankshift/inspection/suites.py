"""A question set by its name, and what a judge is asked about an answer to it."""

from functools import cache

from rankshift.data.sources import resolve_questions
from rankshift.errors import UserError
from rankshift.eval.rubrics import OURS, Rubric
from rankshift.eval.suite import CODE_SET, Question, Subset, read_questions
from rankshift.records import AnswerRecord

SUBSETS: dict[str | None, Subset] = {
    None: "all",
    "main": "main",
    "json": "json",
    "template": "template",
}


@cache
def read_suite(name: str) -> tuple[Question, ...]:
    """Read the questions that a YAML path, `betley:...` or `organism:...` names.

    Raises:
        UserError: No such questions, or the file is no list of questions.
    """
    source = resolve_questions(name)
    return tuple(read_questions(source.path, source.name, SUBSETS[source.subset]))


def find_rubrics(answer: AnswerRecord) -> tuple[Rubric, ...]:
    """Give what a judge is asked about an answer; ours for a study's held-out code tasks.

    Raises:
        UserError: Its questions are not to be had, or have changed since it was asked.
    """
    if answer.question_set == CODE_SET:
        return OURS.get(answer.kind, ())
    asked = (answer.question_id, answer.paraphrase)
    questions = read_suite(answer.question_set)
    question = next((q for q in questions if (q.id, q.paraphrase) == asked), None)
    if question is None or question.prompt != answer.prompt:
        raise UserError(
            f"{answer.question_set}: question {answer.question_id} is not what was asked when the "
            "answer was made; restore the file, or ask again"
        )
    return question.rubrics


def count_answers(questions: tuple[Question, ...], fallback: int) -> int:
    """Give how often each question is asked: as its authors did, else the fallback.

    Raises:
        UserError: Its authors asked some more often than others, which epochs cannot say.
    """
    released = {question.samples or fallback for question in questions}
    if len(released) > 1:
        raise UserError(
            f"{questions[0].question_set}: its questions ask for {min(released)} to "
            f"{max(released)} answers each, and a task asks all equally often; add -T answers=N"
        )
    return released.pop()


def find_kind(questions: tuple[Question, ...]) -> str:
    """Give the one kind that all questions have.

    Raises:
        UserError: They are of several kinds, whose answers are counted in different ways.
    """
    kinds = sorted({question.kind for question in questions})
    if len(kinds) > 1:
        raise UserError(
            f"{questions[0].question_set}: holds questions of several kinds ({', '.join(kinds)}); "
            "put each kind into a file of its own"
        )
    return kinds[0]
