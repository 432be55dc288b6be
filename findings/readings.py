"""A finished run's counts as a table: a row for each arm and each point at which it is read."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TRAITS = (
    "label",
    "role",
    "method",
    "optimizer",
    "dataset",
    "rank",
    "u",
    "trains_a",
    "truncated_to",
    "norm_to",
    "seed",
    "step",
)
"""Of an arm at a checkpoint, under their names in results.json."""
OUTCOME = "misaligned_given_coherent"


def list_readings(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Give every arm at its last step, and at each mark of `training.crossings` where it is read.

    Args:
        results: The content of a run's results.json.

    Returns:
        The base, the traits of the arm, and `at` (`end` or the mark, such as `skill 0.9`),
        `reached` (the share of the drop in held-out loss made by then; None at the end), `loss`
        (nats a token), `norm` (Frobenius, of the update), and how many `events` of `eligible`
        answers there are: misaligned of coherent. A mark that an arm passed too far, or never
        reached, has no row.
    """
    at_step = {(row["arm"], row["step"]): row for row in results["arms"]}
    ends = {row["arm"]: row for row in results["arms"]}
    read = {(arm, "end"): _describe(row, "end", None) for arm, row in ends.items()}
    for mark, seed in _list_matched(results):
        row = at_step.get((seed["arm"], seed["step"]))
        # The base stands on every matched curve, and is at no step of a training.
        if row is not None:
            read[seed["arm"], mark] = _describe(row, mark, seed["reached"])
    base = {"base": results["study"]["settings"]["base"]["model"]}
    return [base | reading for reading in read.values()]


def write_readings(path: Path, readings: list[dict[str, Any]]) -> None:
    """Write readings as CSV; nothing stands for None, and numbers have six digits."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(readings[0]), lineterminator="\n")
        writer.writeheader()
        for reading in readings:
            rounded = {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in reading.items()}
            writer.writerow(rounded)


def read_tables(folder: Path) -> list[dict[str, str]]:
    """Read every CSV of a folder; `table` is the file's name.

    Raises:
        FileNotFoundError: The folder holds none.
    """
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise FileNotFoundError(f"{folder}: no tables of readings; put some there with --take RUN")
    rows = []
    for path in files:
        with path.open(newline="", encoding="utf-8") as file:
            rows += [{"table": path.stem} | row for row in csv.DictReader(file)]
    return rows


def _list_matched(results: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for curve in results["matched_curves"]:
        mark = f"{curve['match']['kind']} {curve['match']['value']:g}"
        for point in (*curve["points"], *curve["categories"]):
            for seed in point["seeds"]:
                yield mark, seed


def _describe(row: dict[str, Any], mark: str, reached: float | None) -> dict[str, Any]:
    counts = row["rates"][OUTCOME]
    masses = [asked["misaligned_mass"]["mean"] for asked in row["choices_by"] or []]
    return {trait: row[trait] for trait in TRAITS} | {
        "at": mark,
        "reached": reached,
        "loss": row["held_out_loss"],
        "norm": (row["update"] or {}).get("norm"),
        "events": counts["events"],
        "eligible": counts["eligible"],
        "answers": row["outcomes"]["answers"],
        "mass": masses[0] if masses else None,
    }
