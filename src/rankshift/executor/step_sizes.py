"""Whether rank and step size move together in a grid, as they do at a fixed learning rate."""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from rankshift.arms import Arm
from rankshift.grid import Grid, Scaling

SAME_STEP = 1.01
"""Two step sizes are the same where their ratio is below this: rounding aside, they are equal or
differ by powers of the ranks' ratio."""


@dataclass(frozen=True)
class StepSizes:
    """Step sizes u = scale x rank x learning rate along the ranks of one setting of a grid."""

    scaling: Scaling
    alpha: float | Literal["2r"]
    learning_rate: float | None
    """None where the grid lists u, and rates come from it."""
    by_rank: dict[int, float]
    """In ascending order of rank."""

    @property
    def growth(self) -> float:
        """Give the factor from the smallest rank's u to the largest rank's."""
        us = list(self.by_rank.values())
        return us[-1] / us[0]

    @property
    def moves_with_rank(self) -> bool:
        """Say whether a curve over rank would be one over step size too."""
        us = self.by_rank.values()
        return max(us) / min(us) >= SAME_STEP

    @property
    def summary(self) -> str:
        """Write it in a line: `alpha 64, alpha/rank, learning rate 0.001: 0.064 at every rank`."""
        rate = f", learning rate {self.learning_rate:g}" if self.learning_rate else ""
        places = [f"{u:g} at rank {rank}" for rank, u in self.by_rank.items()]
        if not self.moves_with_rank:
            places = [f"{next(iter(self.by_rank.values())):g} at every rank"]
        return f"alpha {_name(self.alpha)}, {self.scaling}{rate}: {', '.join(places)}"


def list_step_sizes(grid: Grid) -> Iterator[StepSizes]:
    """Yield u over rank for every setting that a curve may hold fixed."""
    if not grid.ranks:
        return
    ranks = sorted(set(grid.ranks))
    for scaling, alpha in itertools.product(grid.scalings, grid.alphas):
        for rate in grid.learning_rates:
            us = {rank: _find_u(rank, alpha, scaling, rate) for rank in ranks}
            yield StepSizes(scaling, alpha, rate, us)
        for u in grid.us:
            yield StepSizes(scaling, alpha, None, dict.fromkeys(ranks, u))


def warn_of_confound(step_sizes: Iterable[StepSizes]) -> str | None:
    """Say in a line that rank and step size move together, where they do; None where not."""
    moving = [sizes for sizes in step_sizes if sizes.moves_with_rank]
    if not moving:
        return None
    worst = max(moving, key=lambda sizes: abs(math.log(sizes.growth)))
    first, *_, last = worst.by_rank
    return (
        f"rank and step size move together: with alpha {_name(worst.alpha)} and {worst.scaling}, u "
        f"goes from {worst.by_rank[first]:g} at rank {first} to {worst.by_rank[last]:g} at rank "
        f"{last}; `us` in place of `learning_rates` in [grid] holds it"
    )


def _find_u(rank: int, alpha: float | Literal["2r"], scaling: Scaling, rate: float) -> float:
    number = 2.0 * rank if alpha == "2r" else float(alpha)
    u = Arm("lora", "task", None, rank, number, scaling, rate).u
    assert u is not None
    return u


def _name(alpha: float | Literal["2r"]) -> str:
    return "2r" if alpha == "2r" else f"{alpha:g}"
