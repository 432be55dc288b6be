"""The grid: which finetunes a study makes, and what is made of their updates afterwards."""

import itertools
from dataclasses import dataclass
from typing import Literal

from rankshift.defence import Defences

Scaling = Literal["alpha/rank", "alpha/sqrt(rank)"]
OptimizerName = Literal["adamw", "adamw_8bit", "sgd"]

MAX_RANK = 65_536
"""Above this a rank is taken for a typing error."""

ALL_PROJECTIONS = (
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
)
"""The seven projections of Betley et al.'s recipe. Source: open_models/train.json, 80c11967."""


@dataclass(frozen=True)
class Subset:
    """Which linear layers of a base an adapter goes on."""

    target_modules: tuple[str, ...] = ALL_PROJECTIONS
    """Last parts of module names, as in PEFT."""
    layers: tuple[int, ...] = ()
    """Numbers of the base's blocks, from 0; empty is every block."""

    @property
    def label(self) -> str:
        """Name it for people: `q_proj+v_proj in layers 0-3`; nothing where all is adapted."""
        modules = "" if self.target_modules == ALL_PROJECTIONS else "+".join(self.target_modules)
        where = f"layers {join_numbers(self.layers)}" if self.layers else ""
        return " in ".join(filter(None, (modules, where)))


def join_numbers(numbers: tuple[int, ...]) -> str:
    """Write rising numbers short: `0-3+6` for 0, 1, 2, 3 and 6."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return "+".join(f"{run[0]}-{run[-1]}" if run[1:] else f"{run[0]}" for run in runs)


@dataclass(frozen=True)
class FullFinetunes:
    """Full finetunes by one optimizer, of all parameters or of those that adapters would adapt."""

    learning_rates: tuple[float, ...]
    optimizer: OptimizerName | None = None
    """None is the study's."""
    parameters: Literal["all", "adapted"] = "all"
    """`adapted` trains the weights of each of the grid's target modules and layers alone."""


@dataclass(frozen=True)
class Grid:
    """Lists of values; their product is the arms."""

    ranks: tuple[int, ...]
    seeds: tuple[int, ...]
    scalings: tuple[Scaling, ...]
    """Required: in a rank sweep the convention is a confound, not a default."""
    alphas: tuple[float | Literal["2r"], ...]
    learning_rates: tuple[float, ...] = ()
    full_learning_rates: tuple[float, ...] = ()
    """Learning rates of full finetuning by the study's optimizer; a short form of `full`."""
    twin_seeds: tuple[int, ...] = ()
    """Seeds for which every arm also gets a benign twin."""
    target_modules: tuple[tuple[str, ...], ...] = (ALL_PROJECTIONS,)
    """Sets of last parts of module names, each an arm's; a file may give a single set as it is."""
    layers: tuple[tuple[int, ...], ...] = ()
    """Sets of numbers of the base's blocks, each an arm's; empty adapts every block."""
    us: tuple[float, ...] = ()
    """Step sizes in place of learning rates: each arm's rate is u / (scale x rank)."""
    trains_a: tuple[bool, ...] = (True,)
    """Whether A is trained beside B; where it is not it stays as drawn."""
    full: tuple[FullFinetunes, ...] = ()
    """Full finetunes; without any, and without the short form, there are none."""
    defences: tuple[Defences, ...] = ()
    """Each finetune is also trained with each of these, one at a time."""

    @property
    def subsets(self) -> list[Subset]:
        """List what adapters may go on."""
        numbers = [tuple(sorted(layers)) for layers in self.layers] or [()]
        return [Subset(*pair) for pair in itertools.product(self.target_modules, numbers)]

    @property
    def trains(self) -> bool:
        """Say whether any arm is trained."""
        return bool(self.ranks or self.full_finetunes)

    @property
    def full_finetunes(self) -> tuple[FullFinetunes, ...]:
        """List the full finetunes, the short form among them."""
        short = self.full_learning_rates
        return (*((FullFinetunes(short),) if short else ()), *self.full)


NO_GRID = Grid((), (), (), (), ())
"""Of a study that trains nothing."""


@dataclass(frozen=True)
class Derived:
    """What is made of finished finetunes without training: their updates, cut or scaled."""

    truncations: tuple[int, ...] = ()
    """Ranks to which each update is cut, by its singular values; where the update has a higher."""
    norms: tuple[float, ...] = ()
    """Frobenius norms, over all adapted layers, to which each update is scaled."""
