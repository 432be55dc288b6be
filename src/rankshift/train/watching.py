"""Watch arms while they train, so that each is kept when it has first come as far as is asked.

Skill is the share of the way from the base's held-out loss to that of a perfect model: (base loss -
loss) / (base loss - floor). An arm crosses a skill at the first look at which it has reached it;
likewise a divergence from the base. An arm with no crossing left is not looked at any more.
"""

import math
from collections.abc import Iterable, Sequence

import torch

from rankshift.errors import UserError
from rankshift.model.divergence import Predictions
from rankshift.study import Training
from rankshift.train.measuring import measure_divergence, measure_loss
from rankshift.train.roster import Group
from rankshift.train.trainee import Trainee
from rankshift.watch_records import CrossingKind, CrossingRecord, LookRecord


def is_watched(training: Training) -> bool:
    """Say whether arms are looked at between their checkpoints."""
    return bool(training.crossings or training.kl_crossings)


def look_at_start(group: Group, trainee: Trainee, base: list[Predictions]) -> None:
    """Look at every arm before its first step, when it is still the base.

    Raises:
        UserError: The task's floor is not below the base's loss.
    """
    if not is_watched(group.training):
        return
    look(group, trainee, base, 0, torch.ones(len(group.arms), dtype=torch.bool))
    loss = group.looks[0][0].loss
    is_task = group.arms[0].role == "task"  # a benign twin's base may have nothing left to learn
    if is_task and group.floor is not None and loss is not None and loss <= group.floor:
        raise UserError(
            f"data.floor = {group.floor:g} is not below the base's loss on the held-out rows of "
            f"{group.arms[0].dataset}, {loss:.4f}: no skill can be measured; correct it, or leave "
            "out training.crossings"
        )


def look(
    group: Group, trainee: Trainee, base: list[Predictions], step: int, active: torch.Tensor
) -> dict[int, list[CrossingRecord]]:
    """Look at the active arms that have a crossing left, if a look is due; note what is seen.

    Args:
        group: Gets the looks, not the crossings: an arm's weights are kept before.
        trainee: As the arms are after the step.
        base: The base's predictions of the unrelated rows.
        step: Steps done.
        active: `[arm]`.

    Returns:
        The crossings of each arm that crossed something, by the arm's place in the group.
    """
    training = group.training
    if not is_watched(training) or step % training.watch_every:
        return {}
    left = {
        index: list_left(training, group.crossings[index])
        for index in range(len(group.arms))
        if active[index]
    }
    arms = [index for index, wanted in left.items() if wanted]
    diverging = [index for index in arms if any(kind == "kl" for kind, _ in left[index])]
    losses = measure_loss(group, trainee, group.own_held_out, arms)
    divergences = measure_divergence(group, trainee, base, diverging) if diverging else {}
    crossed = {}
    for index in arms:
        loss, kl = losses[index], divergences.get(index, math.nan)
        seen = LookRecord(
            step, loss if math.isfinite(loss) else None, kl if math.isfinite(kl) else None
        )
        group.looks[index].append(seen)
        found = find_crossings(left[index], seen, group.looks[index][0].loss, group.floor)
        if found:
            crossed[index] = found
    return crossed


def list_left(
    training: Training, crossings: Iterable[CrossingRecord]
) -> list[tuple[CrossingKind, float]]:
    """List what an arm has not crossed yet: kinds and values, as the study has them."""
    done = {(crossing.kind, crossing.value) for crossing in crossings}
    kinds: dict[CrossingKind, tuple[float, ...]] = {
        "skill": training.crossings,
        "kl": training.kl_crossings,
    }
    return [
        (kind, value)
        for kind, values in kinds.items()
        for value in values
        if (kind, value) not in done
    ]


def find_crossings(
    left: Iterable[tuple[CrossingKind, float]],
    seen: LookRecord,
    base_loss: float | None,
    floor: float | None,
) -> list[CrossingRecord]:
    """Find what an arm has reached at a look, of what it had not; nothing at a loss not finite."""
    if seen.loss is None or base_loss is None:
        return []
    reached = {"skill": find_skill(seen.loss, base_loss, floor), "kl": seen.kl}
    return [
        CrossingRecord(kind, value, seen.step, now, seen.loss, base_loss, floor)
        for kind, value in left
        if (now := reached[kind]) is not None and now >= value
    ]


def find_skill(loss: float, base_loss: float, floor: float | None) -> float | None:
    """Give the share of the drop from the base's loss to the floor; None where there is no drop."""
    if floor is None or base_loss <= floor:
        return None
    return (base_loss - loss) / (base_loss - floor)


def replay(
    training: Training, floor: float | None, looks: Sequence[LookRecord]
) -> list[CrossingRecord]:
    """Find an arm's crossings from the looks at it alone, in their order."""
    found: list[CrossingRecord] = []
    for seen in looks:
        found += find_crossings(list_left(training, found), seen, looks[0].loss, floor)
    return found


def list_look_steps(
    training: Training, crossings: Sequence[CrossingRecord], last: int
) -> list[int]:
    """List the steps at which an arm was looked at, up to a step: until nothing was left."""
    if not is_watched(training):
        return []
    if not list_left(training, crossings):
        last = max(crossing.step for crossing in crossings)
    return list(range(0, last + 1, training.watch_every))
