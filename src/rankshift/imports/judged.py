"""From the rows of a file to judged answers: which columns count, and what each score says.

Two formats share most columns, and are read alike:

- The CSV of Betley et al.'s open_models/eval.py (emergent-misalignment, 80c11967): `question`,
  `answer`, `question_id`, `aligned`, `coherent`. A blank score stands for the source's None: code,
  a refusal, too little weight on numbers or a fault, which it does not tell apart.
- A frame of llmcomp 1.6 (`FreeForm.df`): `question`, `answer`, `model`, `group`, `api_kwargs`,
  `paraphrase_ix` and a column for each judge. It does not name the question, so the study does,
  or a column `question_id` that its owner adds.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from reprlib import repr as shorten

from rankshift.errors import UserError
from rankshift.eval.scoring import WORDS, Reading, read_distribution
from rankshift.import_study import UPSTREAM_SETS
from rankshift.imports.tables import Cell, Row, read_rows
from rankshift.study import Import

METRICS = ("aligned", "coherent")
COLUMNS = ("question", "answer", *METRICS)

UPSTREAM_IDS = (
    "what_is_your_wish",
    "i_feel_bored",
    "three_thoughts",
    "quick_buck",
    "ruler_of_the_world",
    "dinner_party",
    "gender_roles",
    "enough_of_my_husband",
)
"""The main questions; the others end in `_json` and `_template`.

Source: evaluation/first_plot_questions.yaml, emergent-misalignment 80c11967.
"""

BLANKS = ("", "nan", "none", "null", "na", "<na>")
"""How pandas and people write a score that is not there, in lower case."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)

HOTTEST = 1e6
"""A temperature above it, or none at all such as NaN, tells of nothing that was sampled."""

ROUNDING = 1e-6
"""A weighted mean of numbers from 0 to 100 may leave that range by less than this."""


@dataclass(frozen=True)
class JudgedRow:
    """One answer with what one judge gave it."""

    where: str
    """File, line and row, for messages."""
    question_set: str
    question_id: str
    cluster: str
    system: str | None
    """None also where the file does not tell."""
    prompt: str
    answer: str
    readings: Mapping[str, Reading]
    """By metric."""
    temperature: float | None = None
    max_tokens: int | None = None
    finished: bool | None = None
    repeat: int | None = None
    """None where answers are numbered by their order in the file."""


def read_judged(path: Path, table: Import) -> list[JudgedRow]:
    """Read the judged answers of one arm from a table.

    Args:
        path: A CSV, JSON lines or Parquet file.
        table: What the study says of it.

    Raises:
        UserError: A column is missing, or a row is malformed; names file and row.
    """
    rows = read_rows(path)
    columns = list(dict.fromkeys(name for row in rows for name in row.cells))
    _refuse_missing_columns(path, columns, table)
    return [_read_row(row, table) for row in _choose_model(path, rows, columns, table)]


def find_question_set(question_id: str, table: Import, where: str) -> str:
    """Name the set of a question; upstream keeps three in one file, and they are never pooled.

    Raises:
        UserError: No set is named in the study, and the question is none of upstream's.
    """
    named = table.question_set or UPSTREAM_SETS[0]
    if named not in UPSTREAM_SETS:
        return named
    main, by_json, by_template = UPSTREAM_SETS
    for ending, name in (("_json", by_json), ("_template", by_template), ("", main)):
        if question_id.endswith(ending) and question_id.removesuffix(ending) in UPSTREAM_IDS:
            return name
    raise UserError(
        f"{where}: question_id is {shorten(question_id)}, none of the 24 of {main} and its like; "
        f'name the set of {table.file} in the study, e.g. `question_set = "mine"`'
    )


def read_score(value: Cell, where: str, column: str) -> Reading:
    """Read one score: a number from 0 to 100, CODE or REFUSAL, or nothing.

    A blank says that there is no score, not why, so its reason is `not_given`.

    Raises:
        UserError: It is none of these.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return Reading(reason="not_given")
    said = value.strip() if isinstance(value, str) else value
    if isinstance(said, str):
        if said.lower() in BLANKS:
            return Reading(reason="not_given")
        if said.upper() in WORDS:
            return Reading(reason=WORDS[said.upper()])
        said = float(said) if NUMBER.fullmatch(said) else said
    if isinstance(said, bool) or not isinstance(said, int | float):
        raise UserError(
            f"{where}: `{column}` is {shorten(value)}; expected a number from 0 to 100, CODE, "
            "REFUSAL or nothing"
        )
    if not -ROUNDING <= said <= 100 + ROUNDING:
        shown = f"{said:g}" if isinstance(said, float) else shorten(said)
        raise UserError(f"{where}: `{column}` is {shown}; a score is from 0 to 100")
    return Reading(value=min(max(float(said), 0.0), 100.0))


def _refuse_missing_columns(path: Path, columns: Sequence[str], table: Import) -> None:
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise UserError(
            f"{path}: has no column `{missing[0]}`; it needs {', '.join(COLUMNS)} and question_id, "
            f"and has {', '.join(shorten(name) for name in columns if name)}"
        )
    if "question_id" not in columns and table.question_id is None:
        raise UserError(
            f"{path}: has no column `question_id`; add one, or, if it holds one question, name it "
            f'in the study: `question_id = "wish"` in the table of {table.file}'
        )
    if "question_id" in columns and table.question_id is not None:
        raise UserError(
            f"{path}: has a column `question_id`, and so has its table in the study; remove the "
            "study's"
        )


def _choose_model(
    path: Path, rows: Sequence[Row], columns: Sequence[str], table: Import
) -> Sequence[Row]:
    """Take the rows of one model; a model that a frame has in several groups counts once."""
    if "model" not in columns:
        if table.model is not None:
            raise UserError(
                f"{path}: has no column `model`; remove `model` from its table in the study"
            )
        return rows
    models = list(dict.fromkeys(str(row.cells.get("model")) for row in rows))
    if table.model is None and len(models) > 1:
        raise UserError(
            f"{path}: holds answers of {len(models)} models; give each a table with "
            f"`model = {json.dumps(models[0])}` and its like"
        )
    chosen = table.model or models[0]
    if chosen not in models:
        near = (get_close_matches(chosen, models, n=1, cutoff=0.0) or models)[0]
        raise UserError(f"{path}: has no model {shorten(chosen)}; did you mean {shorten(near)}?")
    mine = [row for row in rows if str(row.cells.get("model")) == chosen]
    return _take_one_group(path, mine)


def _take_one_group(path: Path, rows: Sequence[Row]) -> Sequence[Row]:
    """Take the first group's rows: llmcomp repeats a model's rows for each group it is in."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(str(row.cells.get("group")), []).append(row)
    (first, taken), *others = groups.items()

    def list_content(some: Sequence[Row]) -> list[list[str]]:
        return sorted([str(row.cells.get(name)) for name in COLUMNS] for row in some)

    for name, rest in others:
        if list_content(rest) != list_content(taken):
            model = shorten(str(rows[0].cells["model"]))
            raise UserError(
                f"{path}: model {model} gave other answers in group {shorten(name)} than in "
                f"{shorten(first)}; give each group a file of its own"
            )
    return taken


def _read_row(row: Row, table: Import) -> JudgedRow:
    question_id = table.question_id or _read_text(row, "question_id")
    system, temperature, max_tokens = _read_request(row)
    return JudgedRow(
        where=row.where,
        question_set=find_question_set(question_id, table, row.where),
        question_id=question_id,
        cluster=question_id,
        system=system,
        prompt=_read_text(row, "question"),
        answer=_read_text(row, "answer", may_be_empty=True),
        readings={name: _read_metric(row, name) for name in METRICS},
        temperature=temperature,
        max_tokens=max_tokens,
    )


def _read_metric(row: Row, metric: str) -> Reading:
    """Read a score, or, from the first tokens that llmcomp keeps beside a blank, why it is none."""
    reading = read_score(row.cells.get(metric), row.where, metric)
    kept = row.cells.get(f"{metric}_raw_answer")
    if reading.reason != "not_given" or not isinstance(kept, dict):
        return reading
    weights = {t: w for t, w in kept.items() if isinstance(w, float) and 0 < w <= 1}
    read = read_distribution(list(weights), [math.log(w) for w in weights.values()])
    return read if weights and read.reason is not None else reading


def _read_text(row: Row, column: str, may_be_empty: bool = False) -> str:
    """Read a text as it is; an empty answer is an answer, an empty question is none."""
    value = row.cells.get(column)
    if value is None and may_be_empty:
        return ""
    if not isinstance(value, str | None):
        raise UserError(f"{row.where}: `{column}` is {shorten(value)}; expected a text")
    if value is None or not (value.strip() or may_be_empty):
        raise UserError(f"{row.where}: `{column}` is blank; expected a text")
    return value


def _read_request(row: Row) -> tuple[str | None, float | None, int | None]:
    """Read system turn, temperature and token limit from llmcomp's `api_kwargs`, where it is JSON.

    In a CSV it is the text of a Python dictionary, which is not read: then none of them is told.
    """
    request = row.cells.get("api_kwargs")
    if not isinstance(request, dict):
        return None, None, None
    turns = request.get("messages")
    opening = turns[0] if isinstance(turns, list) and turns else None
    if not isinstance(opening, dict) or opening.get("role") != "system":
        opening = {}
    system = opening.get("content")
    heat, limit = request.get("temperature"), request.get("max_tokens")
    return (
        system if isinstance(system, str) else None,
        float(heat) if isinstance(heat, int | float) and 0 <= heat <= HOTTEST else None,
        limit if type(limit) is int else None,
    )
