"""Which arms train together: groups, fixed on disk before their first step.

Matrix kernels change with the number of rows, so an arm's bits belong to its group; a resumed or
grown study keeps the groups it has and puts only new arms into new ones. Where an arm is no longer
asked for, what is unfinished of its group is planned anew.
"""

import json
from collections.abc import Callable, Hashable, Iterable
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from rankshift.arms import Arm
from rankshift.atomic import write_atomically
from rankshift.errors import UserError
from rankshift.sealed import hash_of
from rankshift.study import Compute, Method, Role

Task = TypeVar("Task")


@dataclass(frozen=True)
class Fit:
    """How a group's training fits into memory."""

    arms_per_pass: int = 1
    """How many arms go through the model together."""
    checkpointing: bool = False
    """Whether layers are computed again in the backward pass."""
    shards: int = 1
    """Processes that hold the base together and read the rows between them."""
    bytes_by_part: dict[str, int] = field(default_factory=dict)
    """What was estimated of one process, by part; empty where nothing is trained."""

    @property
    def total_bytes(self) -> int:
        """Sum the parts."""
        return sum(self.bytes_by_part.values())


@dataclass(frozen=True)
class Group:
    """The arms that one process trains in lock step over one base."""

    id: str
    method: Method
    role: Role
    arms: tuple[str, ...]
    """Ids, in the order of the rows."""
    threads: int
    micro_rows: int
    fit: Fit


def plan_groups(
    arms: dict[str, Arm],
    planned: list[Group],
    compute: Compute,
    cost: Callable[[Arm], float],
    find_fit: Callable[[list[Arm]], Fit | None],
    apart: Callable[[Arm], Hashable] = lambda arm: None,
) -> list[Group]:
    """Keep the planned groups and put the arms that are in none into new ones.

    A group holds one method and one role, its arms in the order of their seeds; a full finetune, a
    whole model and the base are groups of one. Derived arms, which come after all training, are in
    groups of their own. New groups of a role take about equally long.

    Args:
        arms: By id.
        planned: Groups that are on disk already.
        compute: Workers, and limits of a group.
        cost: How long a step of an arm takes, in any unit; asked for new arms only.
        find_fit: Says how arms that train together fit into memory; None if they do not.
        apart: Arms for which this differs are never in one group: they do not share held-out rows.

    Raises:
        UserError: An arm does not fit even alone.
    """
    known = {arm for group in planned for arm in group.arms}
    new = {name: arm for name, arm in arms.items() if name not in known}
    ordered = sorted(new, key=lambda name: _order(new[name]))
    groups = list(planned)
    kinds = groupby(
        ordered,
        lambda n: (new[n].is_derived, new[n].made_method, new[n].role, apart(new[n])),
    )
    for (_, method, role, _), members in kinds:
        costs = {name: cost(new[name]) for name in members}
        num_parts = count_groups(method, len(costs), compute)
        for part in balance(costs, num_parts, compute.arms_per_group):
            for own, fit in divide_until_fit(part, new, find_fit):
                parts = (method, role, tuple(own), compute.threads, compute.micro_rows, fit)
                groups.append(Group(identify(*parts), *parts))
    return groups


def divide_until_fit(
    names: list[str], arms: dict[str, Arm], find_fit: Callable[[list[Arm]], Fit | None]
) -> list[tuple[list[str], Fit]]:
    """Halve a group until every part fits into memory.

    Raises:
        UserError: An arm does not fit even alone.
    """
    fit = find_fit([arms[name] for name in names])
    if fit is not None:
        return [(names, fit)]
    if len(names) == 1:
        raise UserError(
            f"{arms[names[0]].label} does not fit into the memory a worker may use, not even with "
            "gradient checkpointing; use fewer compute.workers, raise training.accumulation, or "
            "raise compute.memory_gib if there is more"
        )
    half = len(names) // 2
    return [
        found
        for part in (names[:half], names[half:])
        for found in divide_until_fit(part, arms, find_fit)
    ]


def identify(
    method: Method, role: Role, arms: tuple[str, ...], threads: int, micro_rows: int, fit: Fit
) -> str:
    """Give a group's id: of all that decides its bits."""
    parts = [method, role, list(arms), threads, micro_rows, fit.arms_per_pass, fit.checkpointing]
    return hash_of([*parts, fit.shards] if fit.shards > 1 else parts)


def count_groups(method: Method, num_arms: int, compute: Compute) -> int:
    """Give how many groups to make: as many for every worker, none above its limit."""
    if method not in ("lora", "adapter"):
        return num_arms
    needed = -(-num_arms // compute.arms_per_group)
    rounds = -(-needed // compute.workers)
    return min(num_arms, rounds * compute.workers)


def balance(costs: dict[str, float], num_parts: int, size: int) -> list[list[str]]:
    """Divide arms into parts of at most `size`, of about equal cost.

    The costliest arm goes first, each to the part that costs least so far and has room, of those
    that cost the same to the one with the fewest arms; a part keeps the order the arms came in.

    Source: the rule of longest processing time first, Graham 1969, SIAM J. Appl. Math. 17(2).
    """
    parts: list[set[str]] = [set() for _ in range(num_parts)]
    totals = [0.0] * num_parts
    for name in sorted(costs, key=lambda name: -costs[name]):
        open_parts = [n for n in range(num_parts) if len(parts[n]) < size]
        lightest = min(open_parts, key=lambda n: (totals[n], len(parts[n])))
        parts[lightest].add(name)
        totals[lightest] += costs[name]
    return [[name for name in costs if name in part] for part in parts]


def sort_longest_first(tasks: Iterable[Task], cost: Callable[[Task], float]) -> list[Task]:
    """Give the order in which workers that take the next task end soonest, or nearly so.

    Source: Graham 1969, as above: within 4/3 - 1/(3 workers) of the best there is.
    """
    return sorted(tasks, key=lambda task: -cost(task))


def _order(arm: Arm) -> tuple[bool, str, str, int, str, bool, float, float, int, str]:
    # Arms whose A stays as drawn are neighbours: they are computed apart from the others.
    return (
        arm.is_derived,
        arm.made_method,
        arm.role,
        arm.seed or 0,
        arm.scaling or "",
        not arm.trains_a,
        arm.learning_rate or 0.0,
        arm.alpha or 0.0,
        arm.rank or 0,
        arm.defence.label if arm.defence else "",
    )


def read_plan(path: Path) -> list[Group]:
    """Read the plan of a study; no file is no groups.

    Raises:
        UserError: The file was cut or edited.
    """
    if not path.exists():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["groups"]
        groups = [
            Group(**(row | {"arms": tuple(row["arms"]), "fit": Fit(**row["fit"])})) for row in rows
        ]
        ids = [identify(g.method, g.role, g.arms, g.threads, g.micro_rows, g.fit) for g in groups]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(
            f"{path}: holds no plan, it was cut or edited; remove {path.parent}"
        ) from None
    for group, known in zip(groups, ids, strict=True):
        if group.id != known:
            raise UserError(f"{path}: group {group.id} was edited; remove {path.parent}")
    return groups


def write_plan(path: Path, groups: list[Group]) -> None:
    """Write the plan, before any of its new groups takes a step."""
    rows = [asdict(group) for group in groups]
    write_atomically(path, json.dumps({"groups": rows}, indent=2) + "\n")
