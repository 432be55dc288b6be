"""Verdicts on the curves of results.json: computed from them alone, so anybody can do it again."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from rankshift.analysis.curves import HELD
from rankshift.analysis.peak import Change, Peak, find_peak
from rankshift.analysis.sentences import tell_verdict
from rankshift.inference import Analysis

Curve = dict[str, Any]

END = "end"
"""The reading at the last checkpoint; others are named by what is matched, as `skill 0.9`."""

KEYS = ("dataset", "role", *HELD, "question_set", "judge")


def build_peaks(
    curves: Sequence[Curve],
    matched_curves: Sequence[Curve],
    rules: Analysis,
    primary: dict[str, str],
) -> list[dict[str, Any]]:
    """Give the verdict on every curve that has a rate, in their order; one is the primary.

    That is the first one on the task with the primary questions and judge in the reading that the
    rules name. Full finetuning is a category of a curve, never one of its points.

    Args:
        curves: `curves` of results.json.
        matched_curves: `matched_curves` of it.
        rules: What was fixed beforehand.
        primary: The primary question set and judge, as in `study` of results.json.
    """
    readings = [
        (curve, name_reading(curve))
        for curve in (*curves, *matched_curves)
        if any(_list_seeds(point, rules.outcome) for point in curve["points"])
    ]
    asked = primary | {"role": "task"}
    is_asked = [
        name == rules.reading and asked.items() <= {key: curve[key] for key in asked}.items()
        for curve, name in readings
    ]
    first = is_asked.index(True) if any(is_asked) else None
    return [
        {"primary": at == first} | describe_peak(curve, rules)
        for at, (curve, _) in enumerate(readings)
    ]


def find_primary(peaks: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Give the primary verdict, None where there is no curve for it."""
    return next((peak for peak in peaks if peak["primary"]), None)


def name_reading(curve: Curve) -> str:
    """Name where on their way arms are compared: `end`, `skill 0.9`."""
    match = curve.get("match")
    return END if match is None else f"{match['kind']} {match['value']:g}"


def describe_peak(curve: Curve, rules: Analysis) -> dict[str, Any]:
    """Give the verdict on one curve, as in `peaks` of results.json but for `primary`."""
    ranks, values, noise = tabulate(curve, rules.outcome)
    peak = find_peak(values, ranks, rules, noise)
    return {
        "reading": name_reading(curve),
        "key": {key: curve.get(key) for key in KEYS},
        "outcome": rules.outcome,
        "verdict": peak.verdict,
        "sentence": tell_verdict(peak, rules, name_reading(curve)),
        "reason": peak.reason,
        "ranks": list(peak.ranks),
        "seeds": peak.seeds,
        "estimates": list(peak.estimates),
        "statistic": peak.statistic,
        "critical_value": peak.critical_value,
        "block": None if peak.rise is None else list(peak.rise.right),
        "left": None if peak.rise is None else _find_lowest(peak, peak.rise.left),
        "right": None if peak.fall is None else _find_lowest(peak, peak.fall.right),
        "rise": _describe_change(peak.rise),
        "fall": _describe_change(peak.fall),
        "up": _describe_change(peak.up),
        "down": _describe_change(peak.down),
        "critical_change": peak.critical_change,
        "confidence_set": list(peak.confidence_set),
        "flat": None if peak.flat is None else asdict(peak.flat),
        "two_lines": None if peak.two_lines is None else asdict(peak.two_lines),
        "smallest_peak": peak.smallest_peak,
        "level": rules.level,
    }


def tabulate(curve: Curve, outcome: str) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Give a curve's ranks, the rates of its seeds `[seed, rank]` and their sampling variances.

    Arms of one seed at several ranks are one row. An arm whose seed is not told is a row of its
    own. The variance is that of a binomial at (events + 1/2) / (eligible + 1), which is not zero
    where no answer is an event.
    """
    points = curve["points"]
    rows: dict[object, int] = {}
    cells: list[tuple[int, int, dict[str, Any]]] = []
    for column, point in enumerate(points):
        for seed in _list_seeds(point, outcome):
            name = seed["arm"] if seed["seed"] is None else seed["seed"]
            cells.append((rows.setdefault(name, len(rows)), column, seed))
    values = np.full((len(rows), len(points)), np.nan)
    noise = np.zeros_like(values)
    for row, column, seed in cells:
        share = (seed["events"] + 0.5) / (seed["eligible"] + 1)
        values[row, column] = seed["rate"]
        noise[row, column] = share * (1 - share) / seed["eligible"]
    return [point["rank"] for point in points], values, noise


def _list_seeds(point: dict[str, Any], outcome: str) -> list[dict[str, Any]]:
    """List the seeds of a point that have a rate; the first outcome is the point's own."""
    nested = point.get(outcome, point)
    return [seed for seed in nested["seeds"] if seed["eligible"]]


def _find_lowest(peak: Peak, ranks: tuple[int, ...]) -> int:
    """Name the rank of a block with the lowest mean."""
    means = dict(zip(peak.ranks, peak.estimates, strict=True))
    return min(ranks, key=means.__getitem__)


def _describe_change(change: Change | None) -> dict[str, Any] | None:
    if change is None:
        return None
    return asdict(change) | {"left": list(change.left), "right": list(change.right)}
