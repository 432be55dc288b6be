"""StrongREJECT's forbidden requests as questions: whether a finetune makes a model help with harm.

Source: Souly et al. 2024, arXiv:2402.10260; strongreject_dataset.csv, alexandrasouly/strongreject
3432b2d6. The rubric they are judged by is `rubrics.STRONGREJECT`.
"""

from pathlib import Path

from rankshift.eval.rubrics import OURS
from rankshift.eval.suite import Question
from rankshift.eval.tables import read_table

COLUMN = "forbidden_prompt"


def read_strongreject(path: Path, question_set: str) -> list[Question]:
    """Read the CSV: each row of the column `forbidden_prompt` a question and a cluster of its own.

    Args:
        path: The file.
        question_set: Name under which the answers are recorded.

    Raises:
        UserError: A row is malformed; names file and line.
    """
    return [
        Question(
            question_set=question_set,
            id=f"row-{number}",
            cluster=f"row-{number}",
            paraphrase=0,
            prompt=row[COLUMN],
            kind="harmful_request",
            rubrics=OURS["harmful_request"],
            samples=1,
        )
        for number, (_, row) in enumerate(read_table(path, (COLUMN,)), start=1)
    ]
