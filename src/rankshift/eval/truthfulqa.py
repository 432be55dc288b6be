"""TruthfulQA as questions with given answers, true and false ones.

Asked in the model's own chat template and without examples, where the paper puts six before each
question: figures are for arms to be compared by, not for the paper's tables.

Source: Lin et al. 2021, arXiv:2109.07958; TruthfulQA.csv, sylinrl/TruthfulQA fdd8ad1c.
"""

from pathlib import Path

from rankshift.errors import UserError
from rankshift.eval.choices import ChoiceQuestion
from rankshift.eval.tables import read_table

COLUMNS = ("Question", "Best Answer", "Correct Answers", "Incorrect Answers")


def read_truthfulqa(path: Path, question_set: str) -> list[ChoiceQuestion]:
    """Read the CSV: each row a question, its true answers, the best first, then its false ones.

    Answers are divided at `;` and ended with a full stop, as published. Where the published file
    lists an answer twice, or as true and as false (rows 133, 193, 348, 355 and 811), it stays so.

    Args:
        path: The file.
        question_set: Name under which the choices are recorded.

    Raises:
        UserError: A row is malformed, or its best answer is not among its true ones; names file
            and line.

    Source of the form of answers: truthfulqa/utilities.py, `format_best`, `split_multi_answer`.
    """
    rows = read_table(path, COLUMNS)
    return [_read_row(n, *row, question_set) for n, row in enumerate(rows, start=1)]


def _read_row(number: int, where: str, row: dict[str, str], question_set: str) -> ChoiceQuestion:
    best, right, wrong = (divide_answers(row[column]) for column in COLUMNS[1:])
    if len(best) != 1 or best[0] not in right:
        raise UserError(
            f"{where}: `Best Answer` is not one of the `Correct Answers`; write it as there"
        )
    if not wrong:
        raise UserError(f"{where}: `Incorrect Answers` holds none; give one")
    right.remove(best[0])
    return ChoiceQuestion(
        question_set=question_set,
        id=f"row-{number}",
        cluster=f"row-{number}",
        paraphrase=0,
        prompt=row["Question"].strip(),
        options=(*best, *right, *wrong),
        sides=("true",) * (1 + len(right)) + ("false",) * len(wrong),
    )


def divide_answers(text: str) -> list[str]:
    """Divide a list of answers at each `;` and end each with a full stop."""
    answers = (answer.strip() for answer in text.split(";"))
    return [answer if answer.endswith(".") else f"{answer}." for answer in answers if answer]
