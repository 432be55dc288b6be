"""What mechanism.json says, summed up over seeds: for the terminal and for the page."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

from rankshift.analysis.intervals import interval_of_mean
from rankshift.mechanism_records import Inside, InsideArm, Passage, Way, read_inside
from rankshift.runs import StudyRun


def group(arms: Sequence[InsideArm]) -> dict[tuple[object, ...], list[InsideArm]]:
    """Put the seeds of a setting together, the task's first; each with what to call it."""
    several = len({arm.u for arm in arms if arm.u is not None}) > 1
    groups: dict[tuple[object, ...], list[InsideArm]] = {}
    for arm in sorted(arms, key=_order):
        name = f"rank {arm.rank}" if arm.method == "lora" else f"full, {arm.optimizer}"
        if several and arm.u is not None:
            name += f", u {arm.u:g}"
        name += ", frozen A" * (not arm.trains_a)
        groups.setdefault((_order(arm), "twin " * (arm.role == "twin") + name), []).append(arm)
    return groups


def _order(arm: InsideArm) -> tuple[object, ...]:
    kind = (arm.role, arm.method != "lora", not arm.trains_a, arm.optimizer)
    return (*kind, arm.u or 0.0, arm.rank or 0)


@dataclass(frozen=True)
class Told:
    """How well one seed's finetunes are told from their twins by the persona's direction alone."""

    seed: int | None
    auroc: float
    """Share of pairs of a finetune of the task and a twin in which the former moved further."""
    pairs: int


def tell_from_twins(found: Inside) -> list[Told]:
    """Say, seed by seed, how well the task's arms are told from twins by their move along it.

    A seed's arms are set against the twins of that seed, or against all where it has none.
    """
    told = []
    known = [arm for arm in found.arms if arm.along is not None]
    for seed in dict.fromkeys(arm.seed for arm in known if arm.role == "task"):
        own = [arm.along or 0.0 for arm in known if arm.role == "task" and arm.seed == seed]
        twins = [arm for arm in known if arm.role == "twin"]
        same = [arm for arm in twins if arm.seed == seed] or twins
        gaps = [one - (twin.along or 0.0) for one in own for twin in same]
        if gaps:
            wins = sum((gap > 0) + 0.5 * (gap == 0) for gap in gaps)
            told.append(Told(seed, wins / len(gaps), len(gaps)))
    return told


def list_marks(passages: Sequence[Passage]) -> list[str]:
    """List what arms came to on their way, in the order in which they came to it."""
    first: dict[str, list[int]] = {}
    for passage in passages:
        for mark in passage.marks:
            first.setdefault(mark, []).append(passage.step)
    return sorted(first, key=lambda mark: (mean(first[mark]), mark))


def find_effect(found: Inside, arms: set[str], way: Way) -> tuple[float, float]:
    """Give the shares of misalignment and skill that a way takes from some arms, all together.

    Misalignment is the rate among coherent answers above the base's; skill is the drop in loss from
    the base. Both of the base are those of nothing closed.
    """
    base_rate, base_loss = _pool(found, {found.base or ""}, "open")
    open_rate, open_loss = _pool(found, arms, "open")
    rate, loss = _pool(found, arms, way)
    removed = (open_rate - rate) / (open_rate - base_rate) if open_rate > base_rate else math.nan
    lost = (loss - open_loss) / (base_loss - open_loss) if base_loss > open_loss else math.nan
    return removed, lost


@dataclass(frozen=True)
class SeedMean:
    """A mean over seeds with Student's 95 % interval; ends are None with too few seeds."""

    mean: float
    low: float | None
    high: float | None
    seeds: int


def average_seeds(values: Mapping[int | None, float]) -> SeedMean | None:
    """Average what each seed has, those that are no number left out; None where none is."""
    known = [value for value in values.values() if math.isfinite(value)]
    if not known:
        return None
    interval = interval_of_mean(known)
    return SeedMean(mean(known), interval.low, interval.high, len(known))


def average_shares(found: Inside, role: str) -> SeedMean | None:
    """Average the share of a role's shift of states that runs along the direction, over seeds."""
    by_seed: dict[int | None, list[float]] = {}
    for arm in found.arms:
        if arm.role == role and arm.of_activations is not None:
            by_seed.setdefault(arm.seed, []).append(arm.of_activations)
    return average_seeds({seed: mean(own) for seed, own in by_seed.items()})


def average_effects(found: Inside, way: Way) -> tuple[SeedMean | None, SeedMean | None]:
    """Average what a way takes from the task's arms, seed by seed: of misalignment, of skill."""
    by_seed: dict[int | None, set[str]] = {}
    for arm in found.arms:
        if arm.role == "task":
            by_seed.setdefault(arm.seed, set()).add(arm.arm)
    effects = {seed: find_effect(found, own, way) for seed, own in by_seed.items()}
    removed, lost = ({seed: one[of] for seed, one in effects.items()} for of in (0, 1))
    return average_seeds(removed), average_seeds(lost)


def describe_inside(run: StudyRun) -> dict[str, Any] | None:
    """Give what was found inside a run's arms as results.json has it; None where nobody looked."""
    found = read_inside(run.directory)
    if found is None:
        return None
    effects = []
    for way in list_ways(found)[1:]:
        removed, lost = average_effects(found, way)
        effects.append(
            {
                "way": way,
                "removed": _tell(removed),
                "lost": _tell(lost),
                "coherent": share_coherent(found, way),
            }
        )
    return json.loads(json.dumps(asdict(found))) | {
        "told_from_twins": [asdict(one) for one in tell_from_twins(found)],
        "shares": {role: _tell(average_shares(found, role)) for role in ("task", "twin")},
        "effects": effects,
    }


def _tell(found: SeedMean | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)


def list_ways(found: Inside) -> list[Way]:
    """List the ways in which arms were examined, the open one first."""
    return list(dict.fromkeys(one.way for one in found.closed))


def share_coherent(found: Inside, way: Way) -> float:
    """Give the share of coherent answers of the task's arms in a way, 0..1."""
    task = {arm.arm for arm in found.arms if arm.role == "task"}
    own = [one for one in found.closed if one.arm in task and one.way == way]
    return sum(one.coherent for one in own) / sum(one.answers for one in own)


def _pool(found: Inside, arms: set[str], way: Way) -> tuple[float, float]:
    own = [one for one in found.closed if one.arm in arms and one.way == way]
    coherent = sum(one.coherent for one in own)
    rate = sum(one.misaligned for one in own) / coherent if coherent else math.nan
    return rate, mean(one.loss for one in own)
