"""What could be known of finetunes before and early in training, and what became of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rankshift.sealed import read_sealed, write_sealed

FILE = "forecast.json"


@dataclass(frozen=True)
class Reading:
    """What one predictor said, of the data or of one finetune."""

    predictor: str
    value: float


@dataclass(frozen=True)
class EarlyReadings:
    """What was seen of a finetune at a checkpoint in its first steps."""

    step: int
    share: float
    """Of the steps of training, 0..1."""
    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class Subject:
    """One finetune, done or not: what it is, and what is known of it beforehand."""

    arm: str
    """Its id in its run; any name where it is only asked about."""
    study: str
    base: str
    """As the study names it."""
    base_fingerprint: str
    data: str
    data_fingerprint: str
    contrasts: str
    """SHA-256 of the contrasts that it was read with."""
    method: str
    rank: int | None
    u: float | None
    """Step size of an adapter, scale x rank x learning rate; of a full finetune its learning
    rate."""
    steps: int
    seed: int | None
    before: tuple[Reading, ...]
    early: tuple[EarlyReadings, ...]


@dataclass(frozen=True)
class Finetune(Subject):
    """A finetune with what became of it."""

    rate: float
    """Misaligned answers among coherent ones at the end, 0..1."""
    coherent: int


@dataclass(frozen=True)
class Foretold:
    """What finetunes of other studies foretold of one."""

    arm: str
    share: float | None
    """Of the steps, that had been taken; None before training."""
    rate: float
    low: float
    """Of the 90 % interval."""
    high: float


@dataclass(frozen=True)
class Evidence:
    """What is known of a run's finetunes, or of those of several."""

    finetunes: tuple[Finetune, ...]
    foretold: tuple[Foretold, ...] = ()
    """Of a run's own file: by what ships, without this study's own finetunes."""


def write_evidence(
    path: Path, finetunes: Iterable[Finetune], foretold: Iterable[Foretold] = ()
) -> None:
    """Write it as one file that shows edits."""
    write_sealed(path, evidence=Evidence(tuple(finetunes), tuple(foretold)))


def read_evidence(path: Path) -> Evidence:
    """Read it.

    Raises:
        UserError: There is no such file, or it was cut or edited.
    """
    (evidence,) = read_sealed(
        path, "make it again with `rankshift evidence RUN`", evidence=Evidence
    )
    return evidence
