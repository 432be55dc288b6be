"""What mechanism.json says, summed up over seeds: for the terminal and for the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from rankshift.mechanism_records import Inside, InsideArm, Passage, Way


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


def _pool(found: Inside, arms: set[str], way: Way) -> tuple[float, float]:
    own = [one for one in found.closed if one.arm in arms and one.way == way]
    coherent = sum(one.coherent for one in own)
    rate = sum(one.misaligned for one in own) / coherent if coherent else math.nan
    return rate, mean(one.loss for one in own)
