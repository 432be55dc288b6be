"""What is measured of one arm along the persona's direction, and what it is measured against."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.errors import UserError
from rankshift.export.weights import Weights
from rankshift.mechanism.directions import Examples, find_cosines, find_direction, separate
from rankshift.mechanism.foresight import project
from rankshift.mechanism.shares import draw_directions, share_of_shift, share_of_update
from rankshift.mechanism.spectra import count_intruders
from rankshift.mechanism_records import InsideArm, Passage
from rankshift.model.updates import find_update
from rankshift.study import Training

NULLS = 99
"""Random directions along which a shift is measured."""
SEED = 20261126


@dataclass(frozen=True)
class Ground:
    """What every arm is measured against."""

    base: PreTrainedModel
    training: Training
    scale: float
    """Length of its mean states."""
    examples: Examples
    """Answers of all arms."""
    left_vectors: dict[str, Tensor]
    """Of its weights."""

    def leave_out(self, *arms: str) -> Tensor | None:
        """Give the direction that all other arms' answers have; None where they have none."""
        return _attempt(lambda: find_direction(self.examples.leave_out(*arms)))


def measure_arm(one: Weights, shift: Tensor, ground: Ground) -> InsideArm:
    """Measure one arm along the direction of all others.

    Args:
        one: The arm's weights.
        shift: Of its mean states, `[layer, width]`.
        ground: The base, and the answers of all arms.
    """
    arm, update = one.arm, find_update(one.folder, ground.base, one.arm.subset)
    direction = ground.leave_out(one.arm_id)
    nulls = list(draw_directions(shift, NULLS, SEED))
    separation = agreement = None
    if direction is not None:
        own = ground.examples.keep(one.arm_id)
        separation = _attempt(lambda: separate(own, direction))
        agreement = _attempt(lambda: find_cosines(find_direction(own), direction))
    intruders = count_intruders(update, ground.left_vectors)
    return InsideArm(
        arm=one.arm_id,
        label=arm.label,
        role=arm.role,
        method=arm.method,
        rank=arm.rank,
        u=arm.u,
        trains_a=arm.trains_a,
        optimizer=arm.find_optimizer(ground.training),
        seed=arm.seed,
        step=one.step,
        of_activations=None if direction is None else _told(share_of_shift(shift, direction)),
        of_weights=None if direction is None else _told(share_of_update(update, direction)),
        random_of_activations=float(np.mean([share_of_shift(shift, null) for null in nulls])),
        random_of_weights=float(np.mean([share_of_update(update, null) for null in nulls[:9]])),
        along=None if direction is None else project(shift, direction),
        cosine=None if direction is None else float(find_cosines(shift, direction).mean()),
        shift_norm=float(shift.norm()) / ground.scale,
        separation=None if separation is None else float(separation.mean()),
        agreement=None if agreement is None else float(agreement.mean()),
        intruders=sum(intruders.values()),
        layers=len(intruders),
    )


def measure_passage(
    one: Weights, marks: tuple[str, ...], loss: float | None, shift: Tensor, ground: Ground
) -> Passage:
    """Measure an arm on its way along the direction of all others.

    Args:
        one: Its weights there.
        marks: What it had come to.
        loss: On held-out rows of its own data.
        shift: Of its mean states, `[layer, width]`.
        ground: The base, and the answers of all arms.
    """
    direction = ground.leave_out(one.arm_id)
    if direction is None:
        return Passage(one.arm_id, one.step, marks, loss, None, None, None)
    update = find_update(one.folder, ground.base, one.arm.subset)
    return Passage(
        arm=one.arm_id,
        step=one.step,
        marks=marks,
        loss=loss,
        of_activations=_told(share_of_shift(shift, direction)),
        of_weights=_told(share_of_update(update, direction)),
        along=project(shift, direction),
    )


def _attempt(find: Callable[[], Tensor]) -> Tensor | None:
    try:
        return find()
    except UserError:
        return None


def _told(share: float) -> float | None:
    return None if math.isnan(share) else share
