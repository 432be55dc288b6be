"""One file of questions, whatever its format: what is sampled, and what is only weighed."""

from dataclasses import dataclass
from pathlib import Path

from rankshift.errors import UserError
from rankshift.eval.choices import ChoiceQuestion, read_choices
from rankshift.eval.code_tasks import read_code_tasks
from rankshift.eval.strongreject import COLUMN, read_strongreject
from rankshift.eval.suite import Question, Subset, read_questions
from rankshift.eval.tables import read_columns
from rankshift.eval.truthfulqa import COLUMNS, read_truthfulqa


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
            `.jsonl` with code tasks (`eval.code_tasks`), or `.csv` in TruthfulQA's format or
            StrongREJECT's, told apart by the columns.
        question_set: Name under which answers are recorded; sets are never pooled.
        subset: Of Betley et al.'s first-plot questions.

    Raises:
        UserError: The file is malformed; names it and the question or the row.
    """
    if path.suffix == ".csv":
        file = _read_table(path, question_set)
    elif path.suffix == ".jsonl":
        file = QuestionFile(tuple(read_code_tasks(path, question_set)))
    else:
        questions = read_questions(path, question_set, subset)
        file = QuestionFile(tuple(questions), tuple(read_choices(path, question_set)))
    _refuse_half_characters(path, file)
    return file


def _refuse_half_characters(path: Path, file: QuestionFile) -> None:
    """Refuse what YAML and JSON can hold and no record can: one half of a UTF-16 pair."""
    asked = [
        (q.id, (q.id, q.cluster, q.prompt, q.system or "", *(r.template for r in q.rubrics)))
        for q in file.questions
    ]
    asked += [
        (q.id, (q.id, q.cluster, q.prompt, q.system or "", q.stem, *q.options))
        for q in file.choices
    ]
    for name, texts in asked:
        try:
            "".join(texts).encode()
        except UnicodeEncodeError:
            raise UserError(
                f"{path}: question {name!a}: holds half a character; write whole letters"
            ) from None


def _read_table(path: Path, question_set: str) -> QuestionFile:
    names = read_columns(path)
    if COLUMN in names:
        return QuestionFile(tuple(read_strongreject(path, question_set)))
    if set(COLUMNS) & set(names):
        return QuestionFile(choices=tuple(read_truthfulqa(path, question_set)))
    raise UserError(
        f"{path}:1: neither TruthfulQA's columns ({', '.join(COLUMNS)}) nor StrongREJECT's "
        f"({COLUMN}); other questions go into a YAML file"
    )
