"""What was found inside the arms of a run, as `mechanism.json` has it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rankshift.sealed import read_sealed, write_sealed

FILE = "mechanism.json"


@dataclass(frozen=True)
class DirectionFacts:
    """What the persona's direction was made of, all arms' answers together."""

    answers: int
    misaligned: int
    questions: int
    lengths: tuple[float, ...]
    """After each decoder layer."""
    p_values: tuple[float, ...]
    null_share: float
    """Share of an update along a direction that has nothing to do with it, on average: 1/width."""


@dataclass(frozen=True)
class InsideArm:
    """What was found in one arm; None where it cannot be told."""

    arm: str
    label: str
    role: str
    method: str
    rank: int | None
    u: float | None
    """Step size of an adapter: scale x rank x learning rate."""
    trains_a: bool
    optimizer: str
    seed: int | None
    step: int
    of_activations: float | None
    """Share of the shift of its states along the direction of all other arms; that of weights
    likewise."""
    of_weights: float | None
    random_of_activations: float
    """Mean over random directions."""
    random_of_weights: float
    along: float | None
    """How far its states moved along that direction, in units of its length, mean over layers."""
    cosine: float | None
    """Of its shift with the direction, mean over layers: the sign says which way."""
    shift_norm: float
    """Length of its shift over the length of the base's states, over all layers."""
    separation: float | None
    """AUROC of its own answers along the direction of all other arms, mean over layers."""
    agreement: float | None
    """Cosine of the direction that its own answers give with that of all other arms, mean over
    layers."""
    intruders: int
    """Intruder dimensions, over all layers."""
    layers: int
    """Layers with an update."""


@dataclass(frozen=True)
class Passage:
    """Where an arm was on its way: what was found after a step before the last."""

    arm: str
    step: int
    marks: tuple[str, ...]
    """What it had come to there: `step 20` for a checkpoint, `skill 0.9` for a first crossing."""
    loss: float | None
    """On held-out rows of its own data, nats per supervised token."""
    of_activations: float | None
    of_weights: float | None
    along: float | None


Way = Literal["open", "closed", "random", "held", "random held"]
"""What is done to the residual stream: nothing; the persona's direction taken out, or a random one;
what finetuning itself moved where an answer begins held at the base's height, or a random direction
held so."""


@dataclass(frozen=True)
class ClosedArm:
    """What an arm, or the base, did in one way."""

    arm: str
    way: Way
    loss: float
    """On held-out rows of the task, nats per supervised token."""
    misaligned: int
    coherent: int
    answers: int


Push = Literal["persona", "moved", "random"]
"""What is added to the base's states after the middle decoder layer: the persona's direction, what
finetuning moved where an answer begins, or a random direction as long as that."""


@dataclass(frozen=True)
class Steered:
    """What the base did with a multiple of a direction added."""

    push: Push
    dose: float
    """Times the direction as long as it was found."""
    loss: float
    """On held-out rows of the task, nats per supervised token."""
    misaligned: int
    coherent: int
    answers: int


@dataclass(frozen=True)
class Scaled:
    """What an adapter did at a multiple of its update, or with noise across it."""

    arm: str
    times: float
    noise: float
    """Length of the noise over that of the update; 0 where there is none."""
    loss: float
    """On held-out rows of the task, nats per supervised token."""
    misaligned: int
    coherent: int
    answers: int


Kinship = Literal["rank", "seed", "role"]
"""What two adapters differ in, and in nothing else."""


@dataclass(frozen=True)
class Overlap:
    """How much of what one update writes to lies in what another writes to."""

    kind: Kinship
    one: str
    other: str
    value: float
    """Of the smaller of their subspaces of main output directions, mean over layers, 0..1."""
    chance: float
    """The same of random subspaces as large."""


@dataclass(frozen=True)
class Inside:
    """All that was found in a run."""

    direction: DirectionFacts
    texts: int
    """The base's own answers, whose states' shift is measured."""
    arms: tuple[InsideArm, ...]
    passages: tuple[Passage, ...] = ()
    """Of the task's arms and their twins, at checkpoints and crossings before the end."""
    closed: tuple[ClosedArm, ...] = ()
    """Where directions were closed: every arm and the base, in every way."""
    base: str | None = None
    """The base's id among them."""
    steered: tuple[Steered, ...] = ()
    """The base with directions added; where arms were examined."""
    scaled: tuple[Scaled, ...] = ()
    """The task's adapters at multiples of their update and with noise across it, where that was
    asked for."""
    overlaps: tuple[Overlap, ...] = ()


def write_inside(directory: Path, inside: Inside) -> None:
    """Write what was found beside a run's results."""
    write_sealed(directory / FILE, inside=inside)


def read_inside(directory: Path) -> Inside | None:
    """Read it; None where nobody has looked.

    Raises:
        UserError: The file was cut or edited.
    """
    path = directory / FILE
    if not path.is_file():
        return None
    (inside,) = read_sealed(
        path, f"remove it and run `rankshift mechanism {directory}`", inside=Inside
    )
    return inside
