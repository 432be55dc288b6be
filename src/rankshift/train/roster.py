"""Who trains together: the arms of a group, all they learn from, and what is noted of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rankshift.arms import Arm
from rankshift.data.rendering import Rendered
from rankshift.records import HeldOutRecord, StepRecord
from rankshift.runs import ArmFiles
from rankshift.study import Training
from rankshift.train.defences.guard import Means
from rankshift.watch_records import CrossingRecord, DivergenceRecord, LookRecord

STATE_SECONDS = 600.0
"""At most so much work, and the step under way, is lost with a process; see `checkpoints.py`."""


@dataclass(frozen=True)
class HeldOut:
    """Rows that are measured on, the same for every arm."""

    name: str
    rows: Sequence[Rendered]


@dataclass
class Group:
    """The arms that one process trains over one base, with all they learn from."""

    arms: list[Arm]
    files: list[ArmFiles]
    """Where each arm's records and checkpoints go."""
    train_rows: list[Sequence[Rendered]]
    """The rows each arm draws from."""
    held_out: list[HeldOut]
    training: Training
    state_folder: Path
    pad_token: int
    micro_rows: int
    """Held-out rows of one arm in one forward pass."""
    arms_per_pass: int = 1
    """How many arms go through the model together."""
    floor: float | None = None
    """Loss of a perfect model on the held-out rows of the arms' dataset; needed for crossings."""
    unrelated: HeldOut | None = None
    """Rows on which the divergence from the base is measured, if it is."""
    means: list[Means] = field(default_factory=list)
    """What each arm's defence works with; empty where none is defended."""
    state_seconds: float = STATE_SECONDS
    """Between checkpoints the state is written each time so long has passed."""
    steps: list[list[StepRecord]] = field(default_factory=list)
    losses: list[list[HeldOutRecord]] = field(default_factory=list)
    looks: list[list[LookRecord]] = field(default_factory=list)
    crossings: list[list[CrossingRecord]] = field(default_factory=list)
    divergences: list[list[DivergenceRecord]] = field(default_factory=list)

    def forget(self) -> None:
        """Begin the records of every arm anew."""
        self.steps = [[] for _ in self.arms]
        self.losses = [[] for _ in self.arms]
        self.looks = [[] for _ in self.arms]
        self.crossings = [[] for _ in self.arms]
        self.divergences = [[] for _ in self.arms]

    @property
    def own_held_out(self) -> HeldOut:
        """Give the held-out rows of the dataset that the arms, all of one role, learn."""
        return next(one for one in self.held_out if one.name == self.arms[0].dataset)
