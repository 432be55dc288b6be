"""Two runs side by side, from their results.json alone: what differs, and by how much."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rankshift.analysis.categories import is_defended
from rankshift.analysis.excess import describe_excess
from rankshift.analysis.intervals import interval_of_mean
from rankshift.analysis.matching import describe_arms, match_curves

Results = dict[str, Any]
Cell = dict[str, Any]

OUTCOMES = ("misaligned_given_coherent", "misaligned_of_all")

COMPARED = (
    ("base", "another base"),
    ("data", "other data or another split of it"),
    ("questions", "other questions"),
    ("judge", "another judge"),
    ("sampling", "answers sampled otherwise"),
    ("recipe", "another training recipe"),
)
"""What must be alike for a difference to speak of the finetunes, the gravest first; and its words
where it is not."""

SAMPLING = ("temperature", "top_p", "max_answer_tokens", "drop_system", "engine")
"""Keys of `evaluation` that change how an answer is drawn."""


def compare_results(a: Results, b: Results) -> dict[str, Any]:
    """Set two runs side by side; every difference is b's less a's.

    A difference of rates speaks of other seeds on the questions asked; its interval pairs seeds
    where both runs have the same ones (`describe_excess`).

    Args:
        a: The content of one run's results.json.
        b: Of the other's.
    """
    unlike = _find_unlike(a, b)
    pairs, without = match_curves(a, b)
    return {
        "studies": [_describe_study(results) for results in (a, b)],
        "caution": _tell_caution(unlike, bool(pairs)),
        "unlike": unlike,
        "settings": _list_settings(a, b),
        "arms": describe_arms(a, b),
        "curves": [_compare_curves(mine, other) for mine, other in pairs],
        "without_counterpart": without,
        "losses": list(_compare_losses(a, b)),
    }


def _describe_study(results: Results) -> dict[str, Any]:
    peak = results.get("peak")
    return {
        "name": results["study"]["name"],
        "about": results["study"]["about"],
        "verdict": None if peak is None else peak["verdict"],
        "sentence": None if peak is None else peak["sentence"],
        "question_set": results["study"]["primary"]["question_set"],
        "judge": results["study"]["primary"]["judge"],
        "arms": len({row["arm"] for row in results["arms"]}),
    }


def _find_unlike(a: Results, b: Results) -> list[str]:
    """Name which of COMPARED differ; what is not told of either counts as unlike."""
    told = {kind: (_tell_parts(a)[kind], _tell_parts(b)[kind]) for kind, _ in COMPARED}
    return [kind for kind, (mine, other) in told.items() if mine != other or not mine]


def _tell_parts(results: Results) -> dict[str, Any]:
    """Give what each of COMPARED is in a run: of parts their content, not their names."""
    prints, primary = results["provenance"]["fingerprints"], results["study"]["primary"]
    settings, asked = results["study"]["settings"], primary["question_set"]
    evaluation = settings.get("evaluation", {})
    # Runs from before the key was there are our own engine's.
    drawn = {"engine": "rankshift"} | evaluation if evaluation else {}
    suite = prints["questions"].get(asked)
    rows = {k: v for k, v in settings.get("data", {}).items() if k not in ("task", "twin")}
    training = {k: v for k, v in settings.get("training", {}).items() if k != "checkpoints"}
    return {
        "base": prints["base"],
        "data": (prints["task"], rows) if prints["task"] else None,
        "questions": (asked, suite) if suite else None,
        "judge": primary["judge"],
        "sampling": [drawn[key] for key in SAMPLING if key in drawn],
        "recipe": training,
    }


def _tell_caution(unlike: Sequence[str], has_curves: bool) -> str:
    """Say in a sentence what a difference between these runs may be put down to."""
    words = ", ".join(told for kind, told in COMPARED if kind in unlike)
    if not has_curves:
        also = f"; they have, or may have, {words}" if words else ""
        return f"No curve of one run has a counterpart, so no rates are side by side{also}."
    if not words:
        return (
            "Base, data, questions, judge, sampling and recipe are the same, so rates may be "
            "compared; what else differs is listed below."
        )
    return (
        f"The runs have, or may have, {words}: a difference between their rates may come from "
        "that as well as from the finetunes."
    )


def _list_settings(a: Results, b: Results) -> list[dict[str, Any]]:
    """List the settings that differ, a key each; those that only one has are None in the other."""
    mine, other = (dict(_spread(results["study"]["settings"])) for results in (a, b))
    keys = dict.fromkeys((*mine, *other))
    return [
        {"key": key, "a": mine.get(key), "b": other.get(key)}
        for key in keys
        if mine.get(key) != other.get(key) and key not in ("name", "about")
    ]


def _spread(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _spread(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _compare_curves(mine: Cell, other: Cell) -> dict[str, Any]:
    ranks = sorted({point["rank"] for curve in (mine, other) for point in curve["points"]})
    names = dict.fromkeys(_name_category(c) for curve in (mine, other) for c in curve["categories"])
    cells = [{"rank": rank, "category": None} for rank in ranks]
    cells += [{"rank": None, "category": name} for name in names]
    return {
        "a": _describe_key(mine),
        "b": _describe_key(other),
        "cells": [
            cell | {name: _compare_cells(*_find(mine, other, cell), name) for name in OUTCOMES}
            for cell in cells
        ],
    }


def _describe_key(curve: Cell) -> dict[str, Any]:
    return {k: v for k, v in curve.items() if k not in ("points", "categories")}


def _name_category(cell: Cell) -> str:
    """Name what is no rank: `base`, `full at 0.0001`, a given model by its name."""
    if cell.get("name"):
        return cell["name"]
    rate = cell.get("learning_rate")
    more = [str(cell[key]) for key in ("optimizer", "parameters") if cell.get(key)]
    return " ".join([cell["category"], *more, *([] if rate is None else [f"at {rate:g}"])])


def _find(mine: Cell, other: Cell, cell: Cell) -> tuple[Cell | None, Cell | None]:
    def find(curve: Cell) -> Cell | None:
        if cell["category"] is None:
            return next((p for p in curve["points"] if p["rank"] == cell["rank"]), None)
        named = (c for c in curve["categories"] if _name_category(c) == cell["category"])
        return next(named, None)

    return find(mine), find(other)


def _compare_cells(mine: Cell | None, other: Cell | None, outcome: str) -> dict[str, Any]:
    a, b = (None if cell is None else cell.get(outcome, cell) for cell in (mine, other))
    told = {"a": _describe_cell(a), "b": _describe_cell(b)}
    if a is None or b is None:
        nothing = {"difference": None, "low": None, "high": None, "note": "only one run has it"}
        return told | nothing | {"seeds": "none"}
    seeds = [[s["seed"] for s in cell["seeds"] if s["eligible"]] for cell in (a, b)]
    arms = [{s["arm"] for s in cell["seeds"]} for cell in (a, b)]
    excess = describe_excess(b, a)
    paired = sorted(map(str, seeds[0])) == sorted(map(str, seeds[1])) and None not in seeds[0]
    return told | {
        "difference": excess["excess"],
        "low": excess["low"],
        "high": excess["high"],
        "note": excess["note"],
        "seeds": "same arms" if arms[0] == arms[1] else "paired" if paired else "independent",
    }


def _describe_cell(cell: Cell | None) -> dict[str, Any] | None:
    if cell is None:
        return None
    return {key: cell[key] for key in ("rate", "low", "high", "note", "num_seeds")}


def _compare_losses(a: Results, b: Results) -> Iterator[dict[str, Any]]:
    """Set the last held-out losses on the task side by side, over the seeds of each rank."""
    mine, other = (_collect_losses(results) for results in (a, b))
    for key in dict.fromkeys((*mine, *other)):
        sides = [_mean_loss(losses.get(key, [])) for losses in (mine, other)]
        yield {"what": key} | dict(zip(("a", "b"), sides, strict=True))


def _collect_losses(results: Results) -> dict[str, list[float]]:
    """Collect the undefended arms' losses on the task at their last step, by rank or kind."""
    last: dict[str, Cell] = {}
    for row in results["arms"]:
        is_told = row["role"] != "twin" and row["task_held_out_loss"] is not None
        is_told = is_told and not is_defended(row)
        before = last.get(row["arm"])
        if is_told and (before is None or row["step"] >= before["step"]):
            last[row["arm"]] = row
    losses: dict[str, list[float]] = {}
    for row in last.values():
        name = row["method"] if row["rank"] is None else f"rank {row['rank']}"
        losses.setdefault(name, []).append(row["task_held_out_loss"])
    return losses


def _mean_loss(losses: Sequence[float]) -> dict[str, Any] | None:
    if not losses:
        return None
    interval = interval_of_mean(losses)
    mean = sum(losses) / len(losses)
    return {"loss": mean, "low": interval.low, "high": interval.high, "arms": len(losses)}
