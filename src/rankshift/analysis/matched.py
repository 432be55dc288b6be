"""Curves at equal skill: each arm is read where it has learned as much as the others, not as long.

Skill is the share of the drop in held-out loss from the base's down to the floor, each arm on rows
of its own dataset. Weights were kept, and measured and asked, at the first look at which an arm had
reached a share; nothing is interpolated. So are readings at an equal divergence from the base, and
at an equal insecure-code rate, for which the ordinary checkpoints have to do.

Source: matching on training loss instead of steps as in Schreiber and Goldstein 2026,
arXiv:2605.12199; why arms at the floor may not be compared is in docs/method.md.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rankshift.analysis.curves import Row, Setting, build_rank_curves

NEAREST_TO_FLOOR = 0.95
"""An arm past this share of the drop is not read: at the floor, loss no longer orders skill. Ours.
"""
MOST_PAST = 0.10
"""An arm that was looked at this much too late is not read: of the drop for skill, of the value
for divergence, of all answers for insecure code. Ours."""

INSECURE_SHARES = (0.5, 0.9)
"""Insecure-code rates at which arms are compared."""

IDENTITY = ("rank", "category", "learning_rate", "name", "optimizer", "parameters")
"""Keys that tell the cells of one curve apart."""


@dataclass(frozen=True)
class Match:
    """What arms must have in common to be compared."""

    kind: Literal["skill", "kl", "insecure_code"]
    value: float

    @property
    def reading(self) -> str:
        """Name it as a study's `analysis.reading` does."""
        return f"{self.kind} {self.value:g}"


@dataclass(frozen=True)
class Reading:
    """Where one arm is read, or why it is not."""

    row: Row | None = None
    reached: float | None = None
    is_censored: bool = False
    """Whether training ended before the arm came so far."""
    why: str = ""


def list_matches(rows: Sequence[Row], training: dict[str, Any]) -> list[Match]:
    """List what the arms of a study may be matched at.

    Args:
        rows: Rows of results.json.
        training: The study's settings of training.
    """
    matches = [Match("skill", value) for value in training["crossings"]]
    matches += [Match("kl", value) for value in training["kl_crossings"]]
    several = len({row["step"] for row in rows if row["method"] == "lora"}) > 1
    if several and any(_find_insecure_share(row) is not None for row in rows):
        matches += [Match("insecure_code", value) for value in INSECURE_SHARES]
    return matches


def build_matched_curves(
    rows: Sequence[Row], settings: Sequence[Setting], matches: Sequence[Match], last_step: int
) -> list[dict[str, Any]]:
    """Build misalignment over rank at each match, for each question set and judge.

    Every arm is in its cell: read, censored or refused, with the reason.
    """
    arms = _group_trained(rows)
    others = [row for row in rows if row["arm"] not in arms]
    # An arm that stopped has no last step, and is in its cell all the same.
    everyone = [*others, *(_place(own[-1], last_step) for own in arms.values())]
    places = build_rank_curves(everyone, settings, last_step)
    curves = []
    for match in matches:
        readings = {arm: read_arm(own, match) for arm, own in arms.items()}
        read = [_place(r.row, last_step) for r in readings.values() if r.row is not None]
        found = build_rank_curves([*others, *read], settings, last_step)
        curves += [
            _annotate(place, _find_same(place, found), match, readings)
            for place in places
            if not place["given"]
        ]
    return curves


def read_arm(rows: Sequence[Row], match: Match) -> Reading:
    """Find where one arm is read.

    Args:
        rows: All rows of a trained arm, by rising step.
        match: What it must have reached.
    """
    found = next(_find_reached(rows, match), None)
    if found is None:
        return Reading(is_censored=True, why=f"did not reach {match.reading}")
    row, reached = found
    late = (reached - match.value) / (match.value if match.kind == "kl" else 1.0)
    if late > MOST_PAST:
        why = f"was at {reached:.3g} when looked at: more than {MOST_PAST:.0%} past"
        return Reading(reached=reached, why=why)
    if match.kind == "skill" and reached > NEAREST_TO_FLOOR:
        why = f"was at {reached:.3g} when looked at: within {1 - NEAREST_TO_FLOOR:.0%} of the floor"
        return Reading(reached=reached, why=why)
    return Reading(row, reached)


def _find_reached(rows: Sequence[Row], match: Match) -> Iterator[tuple[Row, float]]:
    """Yield the rows at which an arm has reached a value, with what it has reached."""
    for row in rows:
        share = _find_insecure_share(row)
        if match.kind == "insecure_code" and share is not None and share >= match.value:
            yield row, share
        for crossing in row.get("crossings") or ():
            if (crossing["kind"], crossing["value"]) == (match.kind, match.value):
                yield row, crossing["reached"]


def _find_insecure_share(row: Row) -> float | None:
    counted = row.get("insecure_code")
    return counted["rate"] if counted else None


def _group_trained(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Give the rows of every arm that was trained here, by rising step."""
    arms: dict[str, list[Row]] = {}
    for row in rows:
        if row["method"] in ("lora", "full"):
            arms.setdefault(row["arm"], []).append(row)
    return {arm: sorted(own, key=lambda row: row["step"]) for arm, own in arms.items()}


def _place(row: Row, last_step: int) -> Row:
    """Put a row where curves look for an arm's last."""
    return row | {"step": last_step, "read_at": row["step"]}


def _find_same(place: dict[str, Any], curves: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Find the curve of the same setting, questions and judge."""
    keys = place.keys() - {"points", "categories", "step"}
    return next((c for c in curves if all(c[key] == place[key] for key in keys)), None)


def _annotate(
    place: dict[str, Any],
    found: dict[str, Any] | None,
    match: Match,
    readings: dict[str, Reading],
) -> dict[str, Any]:
    """Put what was read into the cells of a curve, and beside it who was not read, and why."""
    cells: dict[str, list[dict[str, Any]]] = {}
    for name in ("points", "categories"):
        read = {_identify(cell): cell for cell in (found[name] if found else ())}
        cells[name] = [
            _annotate_cell(cell, read.get(_identify(cell)), readings) for cell in place[name]
        ]
    kept = {key: value for key, value in place.items() if key != "step"}
    return kept | {"match": {"kind": match.kind, "value": match.value}} | cells


def _annotate_cell(
    place: dict[str, Any], read: dict[str, Any] | None, readings: dict[str, Reading]
) -> dict[str, Any]:
    identity = {key: place[key] for key in IDENTITY if key in place}
    nobody = _read_nobody(place)
    if place.get("misaligned_of_all"):
        nobody["misaligned_of_all"] = _read_nobody(place["misaligned_of_all"])
    cell = (read or nobody) | identity
    seeds = []
    for seed in cell["seeds"] or ():
        reading = readings.get(seed["arm"], Reading())
        at = reading.row or {}
        loss = at.get("own_held_out_loss") if at.get("role") == "twin" else None
        seeds.append(
            seed
            | {"step": at.get("step"), "reached": reading.reached}
            | {"loss": at.get("task_held_out_loss") if loss is None else loss}
        )
    missing = [(s, readings[s["arm"]]) for s in place["seeds"] if s["arm"] in readings]
    return cell | {
        "seeds": seeds,
        "censored": [_tell(seed, r) for seed, r in missing if r.row is None and r.is_censored],
        "refused": [_tell(seed, r) for seed, r in missing if r.row is None and not r.is_censored],
    }


def _read_nobody(place: dict[str, Any]) -> dict[str, Any]:
    """Give a cell of which no seed is read; its keys are those of any other."""
    return dict.fromkeys(place) | {"num_seeds": 0, "seeds": [], "note": "no seed is read here"}


def _identify(cell: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(cell.get(key) for key in IDENTITY)


def _tell(seed: dict[str, Any], reading: Reading) -> dict[str, Any]:
    return {"arm": seed["arm"], "seed": seed["seed"], "why": reading.why}
