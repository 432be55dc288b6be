"""One file of questions, whatever its format: what is sampled, and what is only weighed."""

from dataclasses import dataclass
from pathlib import Path

from rankshift.eval.choices import ChoiceQuestion, read_choices
from rankshift.eval.code_tasks import read_code_tasks
from rankshift.eval.suite import Question, Subset, read_questions


@dataclass(frozen=True)
class QuestionFile:
    """What a file asks."""

    questions: tuple[Question, ...] = ()
    """Answered by sampling."""
    choices: tuple[ChoiceQuestion, ...] = ()
    """Answered by the log-probabilities of given options."""


def read_question_file(path: Path, question_set: str, subset: Subset = "all") -> QuestionFile:
    """Read a file of questions, by the format its name ends in.

    Args:
        path: YAML in the format of Betley et al.'s release (`eval.suite`, `eval.choices`), or
            `.jsonl` with code tasks (`eval.code_tasks`).
        question_set: Name under which answers are recorded; sets are never pooled.
        subset: Of Betley et al.'s first-plot questions.

    Raises:
        UserError: The file is malformed; names it and the question or the row.
    """
    if path.suffix == ".jsonl":
        return QuestionFile(tuple(read_code_tasks(path, question_set)))
    questions = read_questions(path, question_set, subset)
    return QuestionFile(tuple(questions), tuple(read_choices(path, question_set)))
