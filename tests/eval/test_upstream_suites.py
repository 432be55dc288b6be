"""docs/suites.md against the published files, through our reader and without it."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from rankshift.data.pins import QUESTIONS
from rankshift.data.sources import resolve_questions
from rankshift.eval.question_files import read_question_file
from rankshift.eval.suite import Question, Subset, count_samples, read_questions

DOCUMENT = Path(__file__).parents[2] / "docs/suites.md"

Figures = tuple[str, ...]
"""File, questions, phrasings, system prompts, answers a phrasing, in all, judge prompts, kind."""


def read_table() -> dict[str, Figures]:
    """Read the document's table by the set's name."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "`betley:" in line
    ]
    return {cells[0].strip("`"): tuple(cells[1:]) for cells in rows if len(cells) == 9}


def by_reader(name: str) -> Figures:
    """Count what our reader makes of a set."""
    source = resolve_questions(name)
    questions = read_questions(source.path, name, cast("Subset", source.subset or "all"))
    return (
        source.path.name,
        str(len({q.id for q in questions})),
        str(len(questions)),
        str(len({q.id for q in questions if q.system})),
        _join({str(q.samples) for q in questions}),
        f"{count_samples(questions):,}",
        _join_metrics(questions),
        _join({q.kind for q in questions}),
    )


def _join_metrics(questions: Sequence[Question]) -> str:
    return _join({", ".join(rubric.metric for rubric in q.rubrics) for q in questions})


def without_reader(name: str, folder: Path) -> Figures:
    """Count what plain YAML makes of it."""
    ending = {"betley:json": "_json", "betley:template": "_template"}.get(name)
    path = folder / QUESTIONS[name].local
    items: list[dict[str, Any]] = yaml.safe_load(path.read_bytes())
    if path.name == "first_plot_questions.yaml":
        endings = (ending,) if ending else ("_json", "_template")
        items = [item for item in items if item["id"].endswith(endings) == bool(ending)]
    is_scored = {item["type"] == "free_form_judge_0_100" for item in items}
    return (
        path.name,
        str(len(items)),
        str(sum(len(item["paraphrases"]) for item in items)),
        str(sum("system" in item for item in items)),
        _join({str(item["samples_per_paraphrase"]) for item in items}),
        f"{sum(len(i['paraphrases']) * i['samples_per_paraphrase'] for i in items):,}",
        _join({", ".join(item["judge_prompts"]) for item in items}),
        "free_form" if is_scored == {True} else "label",
    )


def _join(values: set[str]) -> str:
    return " or ".join(sorted(values))


def read_other_table() -> dict[str, tuple[str, int]]:
    """Read the second table: a set's file and its rows, by the set's name."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {c[0].strip("`"): (c[1], int(c[2])) for c in rows if len(c) == 5 and c[2].isdigit()}


def test_the_document_lists_every_set_that_is_known_by_name():
    assert [*read_table(), *read_other_table()] == list(QUESTIONS)


@pytest.mark.real
@pytest.mark.parametrize("name", read_other_table())
def test_a_set_of_another_form_has_as_many_rows_by_us_and_by_plain_readers(
    name: str, real_data: Path
):
    file, rows = read_other_table()[name]
    path = real_data / QUESTIONS[name].local
    text = path.read_text(encoding="utf-8-sig")
    plain = list(csv.DictReader(io.StringIO(text)) if path.suffix == ".csv" else text.splitlines())
    read = read_question_file(path, name)
    assert (path.name, len(plain)) == (file, rows)
    assert len({q.id for q in (*read.questions, *read.choices)}) == rows


@pytest.mark.real
@pytest.mark.parametrize("name", read_table())
def test_a_published_set_holds_what_the_document_says_read_by_us_or_by_plain_yaml(
    name: str, real_data: Path
):
    expected = read_table()[name]
    assert without_reader(name, real_data) == expected
    assert by_reader(name) == expected
