"""What happened to an arm between its checkpoints: looks at it, crossings, and its divergence."""

from dataclasses import dataclass
from typing import Literal

CrossingKind = Literal["skill", "kl"]


@dataclass(frozen=True)
class DivergenceRecord:
    """How far what one arm predicts on unrelated conversations is from what the base does."""

    step: int
    dataset: str
    kl: float
    """KL(arm || base), exact over the vocabulary, nats a supervised token."""
    tokens: int
    """Supervised ones, over which it is the mean."""
    rows: int


@dataclass(frozen=True)
class LookRecord:
    """One look at an arm on its way to a crossing; the first, at step 0, is of the base."""

    step: int
    loss: float | None
    """On the held-out rows of the arm's own dataset, nats per supervised token; None where it was
    not finite."""
    kl: float | None = None
    """As in DivergenceRecord; None too where no crossing of the divergence is left."""


@dataclass(frozen=True)
class CrossingRecord:
    """The first look at which an arm had come as far as the study asks; its weights are kept."""

    kind: CrossingKind
    value: float
    """What was asked: a skill, 0..1, or a divergence in nats a token."""
    step: int
    reached: float
    """The skill or divergence at that look, at least the value."""
    loss: float
    """At that look, as in LookRecord."""
    base_loss: float
    """At the look of step 0."""
    floor: float | None
    """Loss of a perfect model, where skill is measured."""


WatchRecord = DivergenceRecord | LookRecord | CrossingRecord
