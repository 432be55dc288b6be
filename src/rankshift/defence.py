"""Defences against emergent misalignment, as an arm has one: what it is, and how strong.

docs/defences.md says what each does, where it acts and who proposed it; `train/defences/` does it.
"""

import itertools
from dataclasses import dataclass
from typing import Literal

DefenceKind = Literal[
    "kl",
    "interleave",
    "inoculation",
    "steering",
    "spectral",
    "projection",
    "early_stop",
    "realign",
]
Turn = Literal["system", "user"]

NEEDS: dict[DefenceKind, str | None] = {
    "kl": "data",
    "interleave": "data",
    "inoculation": "text",
    "steering": "contrasts",
    "spectral": None,
    "projection": "contrasts",
    "early_stop": None,
    "realign": "data",
}
"""The key that each kind needs beside its strengths; of the three it takes no other."""

SHARES: tuple[DefenceKind, ...] = (
    "interleave",
    "inoculation",
    "projection",
    "early_stop",
    "realign",
)
"""Kinds whose strength is a share, so at most 1."""

ADAPTERS_ONLY: tuple[DefenceKind, ...] = ("kl", "spectral", "projection")
"""Kinds that no full finetune gets: they need the base beside it, or the factors of an update."""


@dataclass(frozen=True)
class Defence:
    """What defends one arm while it trains."""

    kind: DefenceKind
    strength: float
    """Its unit is the kind's; at 0 the arm trains, bit for bit, as if it had none."""
    data: str | None = None
    """Other rows than the arm's own: a JSONL path or a name such as `organism:general`."""
    text: str | None = None
    """The inoculation prompt."""
    turn: Turn | None = None
    """Where it stands: as a system turn, or in front of the user's."""
    contrasts: str | None = None
    """Questions with aligned and misaligned options, whose states tell the persona's direction."""
    layer: int | None = None
    """Number of the block after which is steered; None is the middle one."""

    @property
    def named(self) -> str | None:
        """Name the rows or contrasts that it needs, if any."""
        return self.data or self.contrasts

    def count_own_steps(self, steps: int) -> int:
        """Count the steps, of so many, that come before re-alignment; all of any other kind's."""
        return steps - round(self.strength * steps) if self.kind == "realign" else steps

    @property
    def label(self) -> str:
        """Name it for people: `kl 0.1`."""
        return f"{self.kind.replace('_', ' ')} {self.strength:g}"


@dataclass(frozen=True)
class Defences:
    """Defences of one kind, for every finetune of the grid, beside the finetunes without any."""

    kind: DefenceKind
    strengths: tuple[float, ...]
    data: str | None = None
    text: str | None = None
    turn: Turn = "system"
    """Of an inoculation prompt; a base that knows no system turns is told in the user's."""
    contrasts: str | None = None
    layer: int | None = None

    def list_each(self) -> list[Defence]:
        """List one for each strength."""
        turn = self.turn if self.kind == "inoculation" else None
        where = (self.data, self.text, turn, self.contrasts, self.layer)
        return [Defence(self.kind, strength, *where) for strength in self.strengths]


def list_defences(tables: tuple[Defences, ...]) -> list[Defence]:
    """List the defences of several tables, each once."""
    every = itertools.chain.from_iterable(table.list_each() for table in tables)
    return list(dict.fromkeys(every))
