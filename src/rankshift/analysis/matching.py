"""What of two runs is the same: their arms, and the curves that may stand side by side."""

from collections.abc import Sequence
from typing import Any

from rankshift.analysis.curves import HELD

Results = dict[str, Any]
Curve = dict[str, Any]

SETTING = ("role", *HELD)
"""What two curves must share to be set side by side, whatever the data, questions and judge."""

ALONE = ("role", "given")
"""The same for runs with one curve of the kind each: their settings then differ, and are shown."""

EQUAL = 1e-9
"""Losses of one arm in two runs differ by no more where they are the same bits read again."""


def match_curves(a: Results, b: Results) -> tuple[list[tuple[Curve, Curve]], list[dict[str, Any]]]:
    """Pair the curves of both runs' primary questions and judges; list what has no counterpart."""
    mine, other = _list_primary(a), _list_primary(b)
    pairs = _pair(mine, other, SETTING) or _pair_lone(mine, other)
    used = {id(curve) for pair in pairs for curve in pair}
    without = [
        {"run": run} | {key: curve.get(key) for key in ("dataset", *SETTING)}
        for run, curves in (("a", mine), ("b", other))
        for curve in curves
        if id(curve) not in used and curve["points"]
    ]
    return pairs, without


def describe_arms(a: Results, b: Results) -> dict[str, Any]:
    """Count the arms by whether both runs have them, and say whether those in both agree.

    One id stands for one base, data, recipe and arm, so such an arm must have the same losses;
    answers to other questions or other verdicts are no disagreement.
    """
    mine, other = (_key_rows(results) for results in (a, b))
    arms = [{arm for arm, _ in rows} for rows in (mine, other)]
    both = arms[0] & arms[1]
    labels = {row["arm"]: row["label"] for rows in (mine, other) for row in rows.values()}
    disagree = sorted({key[0] for key in set(mine) & set(other) if _differ(mine[key], other[key])})
    return {
        "both": len(both),
        "only_a": len(arms[0] - both),
        "only_b": len(arms[1] - both),
        "disagree": [{"arm": arm, "label": labels[arm]} for arm in disagree],
    }


def _key_rows(results: Results) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["arm"], row["step"]): row for row in results["arms"]}


def _differ(mine: dict[str, Any], other: dict[str, Any]) -> bool:
    losses = [(mine[key], other[key]) for key in ("task_held_out_loss", "own_held_out_loss")]
    return any(None not in pair and abs(pair[0] - pair[1]) > EQUAL for pair in losses)


def _list_primary(results: Results) -> list[Curve]:
    primary = results["study"]["primary"]
    return [curve for curve in results["curves"] if primary.items() <= curve.items()]


def _pair(
    mine: Sequence[Curve], other: Sequence[Curve], keys: Sequence[str]
) -> list[tuple[Curve, Curve]]:
    found: dict[int, tuple[Curve, Curve]] = {}
    for curve in mine:
        alike = [c for c in other if all(c.get(key) == curve.get(key) for key in keys)]
        alike.sort(key=lambda c: c["dataset"] != curve["dataset"])
        if alike:
            found[id(curve)] = (curve, alike[0])
    return list(found.values())


def _pair_lone(mine: Sequence[Curve], other: Sequence[Curve]) -> list[tuple[Curve, Curve]]:
    """Pair the task's curves of runs that have one each."""
    ours, theirs = ([c for c in curves if c["role"] == "task"] for curves in (mine, other))
    return _pair(ours, theirs, ALONE) if len(ours) == len(theirs) == 1 else []
