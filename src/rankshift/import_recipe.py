"""What determines an arm that others trained, asked and judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rankshift.study import Import


@dataclass(frozen=True)
class ImportRecipe:
    """What determines the content of an imported arm besides what the study says it is.

    One entry a file, in the order of the study: what it holds, and how it is read.
    """

    sha256: tuple[str, ...]
    judges: tuple[str, ...]
    question_sets: tuple[str | None, ...]
    question_ids: tuple[str | None, ...]
    models: tuple[str | None, ...]


def make_import_recipe(tables: Sequence[Import], sha256: Mapping[str, str]) -> ImportRecipe:
    """Collect what determines an arm that others trained.

    Args:
        tables: Of the arm.
        sha256: Of each file that has been met; another's is empty.
    """
    return ImportRecipe(
        sha256=tuple(sha256.get(table.file, "") for table in tables),
        judges=tuple(table.judge for table in tables),
        question_sets=tuple(table.question_set for table in tables),
        question_ids=tuple(table.question_id for table in tables),
        models=tuple(table.model for table in tables),
    )
