"""One cell of a curve: what arms that differ by seed alone say together.

A function of their rows of results.json alone, so anybody can work it out again from there.
"""

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

import numpy as np

from rankshift.analysis.clustering import estimate_icc
from rankshift.analysis.crossed import bound_new_questions
from rankshift.analysis.intervals import (
    FEWEST_CLUSTERS,
    FEWEST_SEEDS,
    NOTHING_COUNTED,
    TOO_FEW_CLUSTERS,
    TOO_FEW_SEEDS,
    Interval,
    interval_over_seeds,
    mean_over_seeds,
)
from rankshift.analysis.rates import Rate

Row = dict[str, Any]
"""One arm at one step, as in `arms` of results.json."""

Share = dict[str, Any] | None
"""A rate as in `rates_by` of a row; None where the row has none for these questions and judge."""

COUNTS = ("events", "eligible", "rate")

BASE_NOTE = "one model: the interval is over questions"

GIVEN = ("adapter", "model")
"""Methods of arms that were trained elsewhere; they are measured once, at step 0 of their own."""

COMPONENTS = ("seed", "question", "interaction")


def describe_misalignment(cell: Sequence[Row], shares: Sequence[Share]) -> dict[str, Any]:
    """Sum up both denominators of one cell."""
    given, of_all = (
        describe_share(cell, [share and share[name] for share in shares])
        for name in ("misaligned_given_coherent", "misaligned_of_all")
    )
    return given | {"misaligned_of_all": of_all}


def describe_share(cell: Sequence[Row], shares: Sequence[Share]) -> dict[str, Any]:
    """Give a cell's mean over seeds, for both targets; a model alone keeps that over questions.

    `low` and `high` are on these questions, `new_questions` over other questions too. `pooled`
    counts every answer once, `macro` every question: where they differ, a few questions or a
    question's many answers carry the rate.
    """
    seeds = [
        {"arm": row["arm"], "seed": row["seed"]} | {k: share[k] for k in COUNTS}
        for row, share in zip(cell, shares, strict=True)
        if share is not None
    ]
    counts = [Rate(seed["events"], seed["eligible"]) for seed in seeds]
    num_seeds = sum(count.eligible > 0 for count in counts)
    mean = mean_over_seeds(counts) if num_seeds else None
    first = next((share for share in shares if share is not None), None)
    events, sizes = tabulate_questions([share for share in shares if share is not None])
    interval = interval_over_seeds(counts)
    over_both = describe_new_questions(mean, events, sizes)
    if cell and stands_alone(cell[0]) and first is not None:
        num_seeds = 0
        interval = Interval(first["low"], first["high"], first["note"] or BASE_NOTE)
        over_both |= asdict(interval) | {"design_effect": first["design_effect"]}
    return (
        {"rate": mean}
        | asdict(interval)
        | {"num_seeds": num_seeds, "seeds": seeds}
        | average_questions(events, sizes)
        | {"design_effect": over_both.pop("design_effect")}
        | {"icc": estimate_icc(events.sum(0), sizes.sum(0))}
        | {"new_questions": over_both}
    )


def stands_alone(row: Row) -> bool:
    """Say whether a row is the base or a given model without a rank: no other seeds are alike."""
    return row["method"] in ("base", *GIVEN) and not is_even_adapter(row)


def is_even_adapter(row: Row) -> bool:
    """Say whether a row is a given adapter with one rank and scale for all that it adapts."""
    return row["method"] == "adapter" and row["scale"] is not None


def tabulate_questions(shares: Sequence[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Lay out the counts of seeds by clusters of questions.

    Seeds and clusters that count nothing are left out; what a seed lacks of a cluster is 0 of 0.

    Returns:
        Events and eligible answers, each `[seed, cluster]`.
    """
    counted = [share["by_question"] for share in shares if share["eligible"]]
    names = sorted({name for own in counted for name, (_, eligible) in own.items() if eligible})
    table = np.array([[own.get(name, (0, 0)) for name in names] for own in counted], float)
    table = table.reshape(len(counted), len(names), 2)
    return table[..., 0], table[..., 1]


def average_questions(events: np.ndarray, sizes: np.ndarray) -> dict[str, float | None]:
    """Give the mean over questions of the mean over seeds, and the rate of all answers together.

    Args:
        events: `[seed, cluster]`.
        sizes: Eligible answers, same shape.
    """
    if not sizes.size:
        return {"macro": None, "pooled": None}
    rates = np.where(sizes > 0, events / np.maximum(sizes, 1), 0.0)
    by_question = rates.sum(0) / (sizes > 0).sum(0)
    return {"macro": float(by_question.mean()), "pooled": float(events.sum() / sizes.sum())}


def describe_new_questions(
    rate: float | None, events: np.ndarray, sizes: np.ndarray
) -> dict[str, Any]:
    """Give the interval over other seeds and other questions, and where the spread comes from.

    Variance components are of a cell of one seed and one question, in squared rates; the
    interaction's holds the sampling of answers too.

    Args:
        rate: Mean over seeds; None where nothing is counted.
        events: `[seed, cluster]`.
        sizes: Eligible answers, same shape.
    """
    notes = {
        NOTHING_COUNTED: sizes.size == 0,
        TOO_FEW_SEEDS: sizes.shape[0] < FEWEST_SEEDS,
        TOO_FEW_CLUSTERS: sizes.shape[1] < FEWEST_CLUSTERS,
    }
    note = next((note for note, holds in notes.items() if holds), None)
    if note is not None:
        unknown: dict[str, Any] = {"variance": dict.fromkeys(COMPONENTS), "design_effect": None}
        return {"rate": rate, "low": None, "high": None, "note": note, "degrees": None} | unknown
    crossed, low, high = bound_new_questions(events, sizes)
    design_effect = float(crossed.design_effect)
    return {
        "rate": rate,
        "low": float(low),
        "high": float(high),
        "note": None,
        "degrees": float(crossed.degrees),
        "variance": {name: float(getattr(crossed, name)) for name in COMPONENTS},
        "design_effect": design_effect if isfinite(design_effect) else None,
    }
