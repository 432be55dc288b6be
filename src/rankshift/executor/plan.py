"""Which arms train together: groups, fixed on disk before their first step.

Matrix kernels change with the number of rows, so an arm's bits belong to its group; a resumed or
grown study keeps the groups it has and puts only new arms into new ones. Where an arm is no longer
asked for, what is unfinished of its group is planned anew.
"""

import json
from dataclasses import asdict, dataclass
from itertools import groupby, pairwise
from pathlib import Path

from rankshift.errors import UserError
from rankshift.records import write_atomically
from rankshift.runs import hash_of
from rankshift.study import Arm, Compute, Method, Role


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


def plan_groups(arms: dict[str, Arm], planned: list[Group], compute: Compute) -> list[Group]:
    """Keep the planned groups and put the arms that are in none into new ones.

    A group holds one method and one role, its arms in the order of their seeds; a full finetune and
    the base are groups of one. New groups are as even as the workers allow.
    """
    known = {arm for group in planned for arm in group.arms}
    new = {name: arm for name, arm in arms.items() if name not in known}
    ordered = sorted(new, key=lambda name: _order(new[name]))
    groups = list(planned)
    for (method, role), members in groupby(ordered, lambda n: (new[n].method, new[n].role)):
        names = list(members)
        for part in divide(names, group_size(method, len(names), compute)):
            parts = (method, role, tuple(part), compute.threads, compute.micro_rows)
            groups.append(Group(hash_of(list(parts)), *parts))
    return groups


def group_size(method: Method, num_arms: int, compute: Compute) -> int:
    """Give how many arms to train in lock step: enough groups for every worker, none too large."""
    if method != "lora":
        return 1
    return min(compute.arms_per_group, -(-num_arms // compute.workers))


def divide(names: list[str], size: int) -> list[list[str]]:
    """Divide a list into as few parts of at most `size` as possible, as even as possible."""
    num_parts = -(-len(names) // size)
    edges = [round(part * len(names) / num_parts) for part in range(num_parts + 1)]
    return [names[a:b] for a, b in pairwise(edges)]


def _order(arm: Arm) -> tuple[str, str, int, str, float, float, int]:
    return (
        arm.method,
        arm.role,
        arm.seed or 0,
        arm.scaling or "",
        arm.learning_rate or 0.0,
        arm.alpha or 0.0,
        arm.rank or 0,
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
        groups = [Group(**(row | {"arms": tuple(row["arms"])})) for row in rows]
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{path}: holds no plan, it was cut or edited; remove {path.parent}"
        ) from None
    for group in groups:
        content = [group.method, group.role, group.arms, group.threads, group.micro_rows]
        if group.id != hash_of(content):
            raise UserError(f"{path}: group {group.id} was edited; remove {path.parent}")
    return groups


def write_plan(path: Path, groups: list[Group]) -> None:
    """Write the plan, before any of its new groups takes a step."""
    rows = [asdict(group) for group in groups]
    write_atomically(path, json.dumps({"groups": rows}, indent=2) + "\n")
