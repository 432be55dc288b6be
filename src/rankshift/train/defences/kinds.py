"""Which class is which defence, and the guards of a group, a plain one for an arm without any."""

from collections.abc import Callable, Sequence

from rankshift.arms import Arm
from rankshift.defence import Defence, DefenceKind
from rankshift.study import Training
from rankshift.train.defences.early_stop import EarlyStop
from rankshift.train.defences.guard import Course, Guard, Means
from rankshift.train.defences.guards import Guards
from rankshift.train.defences.inoculation import Inoculation
from rankshift.train.defences.interleave import Interleave
from rankshift.train.defences.kl import KL
from rankshift.train.defences.projection import Projection
from rankshift.train.defences.realign import Realign
from rankshift.train.defences.spectral import Spectral
from rankshift.train.defences.steering import Steering

KINDS: dict[DefenceKind, Callable[[Defence, Means, Course], Guard]] = {
    "kl": KL,
    "interleave": Interleave,
    "inoculation": Inoculation,
    "steering": Steering,
    "spectral": Spectral,
    "projection": Projection,
    "early_stop": EarlyStop,
    "realign": Realign,
}


def make_guards(
    arms: Sequence[Arm], means: Sequence[Means], training: Training, pad_token: int
) -> Guards:
    """Make the guards of a group.

    Args:
        arms: Of the group.
        means: What each arm's defence works with; none at all where no arm has one.
        training: The recipe.
        pad_token: Fills rows up.
    """
    return Guards(
        [
            Guard()
            if arm.defence is None
            else KINDS[arm.defence.kind](
                arm.defence, own, Course(training, arm.seed or 0, pad_token)
            )
            for arm, own in zip(arms, means or [Means()] * len(arms), strict=True)
        ]
    )
