"""Load a run's arms over its base, and read rows with them: several adapters in one pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedModel

from rankshift.data.rendering import Rendered
from rankshift.executor.devices import load_there
from rankshift.export.weights import Weights
from rankshift.mechanism.reading import read_means
from rankshift.study import Study
from rankshift.train.trainee import Trainee, prepare_adapters, prepare_full

ARMS_TOGETHER = 8
"""Adapters that read in one pass."""
ROWS_TOGETHER = 8


@dataclass(frozen=True)
class Reader:
    """Loads models over a base, and reads rows with them."""

    study: Study
    directory: Path
    pad_token: int

    @cached_property
    def base(self) -> PreTrainedModel:
        """Give the base alone, loaded once."""
        return load_there(self.directory, self.study)

    def read(self, model: PreTrainedModel, rows: Sequence[Rendered], num_arms: int = 1) -> Tensor:
        """Give mean states, `[arm, row, layer, width]`."""
        return read_means(model, rows, num_arms, ROWS_TOGETHER, self.pad_token)

    def load_arms(self, part: Sequence[Weights]) -> Trainee:
        """Load adapters over one base, or one full finetune."""
        model, first = load_there(self.directory, self.study), part[0].arm
        if first.method == "full":
            trainee = prepare_full(model, subset=first.subset)
        else:
            trainee = prepare_adapters(model, [one.arm for one in part], str(self.directory))
        for place, one in enumerate(part):
            trainee.read(one.folder, place)
        return trainee


def divide(weights: Sequence[Weights], *, by_seed: bool = False) -> Iterator[list[Weights]]:
    """Divide arms into those that read together: adapters that train A or leave it, some each.

    Args:
        weights: The arms'.
        by_seed: Whether those of two seeds are kept apart.
    """

    def kind(one: Weights) -> tuple[str, bool, int]:
        return (one.arm.method, one.arm.trains_a, (one.arm.seed or 0) if by_seed else 0)

    for (method, *_), members in groupby(sorted(weights, key=kind), key=kind):
        own = list(members)
        size = 1 if method == "full" else ARMS_TOGETHER
        yield from (own[at : at + size] for at in range(0, len(own), size))
