"""Curves and their seeds as rows, from the content of results.json alone."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from rankshift.frames.columns import CURVES, SEEDS
from rankshift.frames.tidy import flatten, make_frame_of_rows

GIVEN_COHERENT, OF_ALL, CODE = "misaligned_given_coherent", "misaligned_of_all", "insecure_code"

PARTS = ("points", "categories")

Row = dict[str, Any]


def list_curves(results: dict[str, Any]) -> pd.DataFrame:
    """List every point of every curve of a share, a row for each denominator."""
    rows = [key | flatten(_leave_out_lists(cell)) for key, cell in _list_cells(results)]
    return make_frame_of_rows(rows, CURVES)


def list_seeds(results: dict[str, Any]) -> pd.DataFrame:
    """List what each point of each curve is the mean of."""
    rows = [key | flatten(seed) for key, cell in _list_cells(results) for seed in cell["seeds"]]
    return make_frame_of_rows(rows, SEEDS)


def _list_cells(results: dict[str, Any]) -> Iterator[tuple[Row, Row]]:
    """Give each estimate of each curve, and which it is."""
    for source, outcome in (
        ("curves", GIVEN_COHERENT),
        ("insecure_code_curves", CODE),
        ("matched_curves", GIVEN_COHERENT),
    ):
        for curve in results[source]:
            where = _name_curve(curve)
            for cell in (cell for part in PARTS for cell in curve.get(part, [])):
                point = where | _name_point(cell, where)
                yield point | {"outcome": outcome}, cell
                if OF_ALL in cell:
                    yield point | {"outcome": OF_ALL}, cell[OF_ALL]


def _name_curve(curve: Row) -> Row:
    match = curve.get("match")
    reading = "end" if match is None else f"{match['kind']} {match['value']:g}"
    parts = {key: value for key, value in curve.items() if key not in (*PARTS, "match")}
    alpha = curve.get("alpha")
    named = {"alpha": alpha if alpha is None or isinstance(alpha, str) else f"{alpha:g}"}
    return {"reading": reading} | flatten(parts) | named


def _name_point(cell: Row, where: Row) -> Row:
    """Tell a rank from a category, which may have a learning rate of its own or none."""
    rate = cell["learning_rate"] if "learning_rate" in cell else where.get("learning_rate")
    named = {"category": cell.get("category", "rank"), "learning_rate": rate}
    return named | {key: cell[key] for key in ("rank", "name") if key in cell}


def _leave_out_lists(cell: Row) -> Row:
    left_out = ("seeds", OF_ALL, "censored", "refused", "rank", "name", "category", "learning_rate")
    return {key: value for key, value in cell.items() if key not in left_out}
