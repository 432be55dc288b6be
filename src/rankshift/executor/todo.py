"""What is left to do for each group of a study."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rankshift.completion import (
    find_due_steps,
    find_stop,
    find_unrelated_set,
    is_trained,
    list_held_out_sets,
    make_due_recipe,
)
from rankshift.derivation import find_source_id
from rankshift.executor.plan import Group
from rankshift.executor.resolving import ResolvedStudy
from rankshift.executor.vllm.parity import find_own_part
from rankshift.executor.waves import find_open_waves
from rankshift.study import Training


@dataclass(frozen=True)
class Todo:
    """What is left to do for one group."""

    group: Group
    train: bool
    answers: int
    """Checkpoints of its arms that are to answer, at most: crossings to come may stay away."""


def list_todo(groups: Iterable[Group], resolved: ResolvedStudy, *, derived: bool) -> list[Todo]:
    """List what is left to do for the groups of derived arms, or for all others."""
    chosen = [group for group in groups if resolved.arms[group.arms[0]].is_derived == derived]
    return [todo for todo in (find_todo(group, resolved) for group in chosen) if todo]


def find_todo(group: Group, resolved: ResolvedStudy) -> Todo | None:
    """Find what is left to do for a group, None for nothing.

    A derived arm whose source stopped is left out of its group.
    """
    study, fingerprints = resolved.study, resolved.parts.fingerprints
    train, due, due_arms = False, [], []
    for name in group.arms:
        arm, files = resolved.arms[name], resolved.run.arm(name)
        recipe = make_due_recipe(resolved.run, arm, study, fingerprints)
        if not recipe.measured_at:
            continue
        due_arms.append(name)
        stop = find_stop(files)
        if stop is None:
            sets, unrelated = list_held_out_sets(arm, study), find_unrelated_set(arm, study)
            trained = is_trained(files, recipe, sets, unrelated)
            # Provenance comes last: without it the process died between the two.
            train |= not (trained and files.provenance_path.exists())
        due.append(find_due_steps(files, recipe))
    every = [resolved.run.arm(name) for name in due_arms]
    last = find_own_part(study.evaluation.engine)
    answers = sum(map(len, find_open_waves(every, due, resolved.evaluation, last)))
    coming = sum(_may_cross(resolved, name) for name in due_arms) if train else 0
    answers += coming * count_crossings(study.training)
    group = replace(group, arms=tuple(due_arms))
    return Todo(group, train, answers) if train or answers else None


def _may_cross(resolved: ResolvedStudy, name: str) -> bool:
    """Say whether an arm, or the finetune that it is made of, is yet to be trained to its end."""
    arm = resolved.arms[name]
    source = find_source_id(arm, resolved.study, resolved.parts.fingerprints)
    is_made = resolved.run.arm(source or name).provenance_path.exists()
    return arm.has_steps and not (arm.is_derived and is_made)


def count_crossings(training: Training) -> int:
    """Count the checkpoints that an arm's crossings may add."""
    return len(training.crossings) + len(training.kl_crossings)
