"""Load a run's arms over its base, and read rows with them: several adapters in one pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.data.rendering import Rendered
from rankshift.data.sources import BaseSource, resolve_base
from rankshift.errors import UserError
from rankshift.executor.devices import load_there
from rankshift.export.weights import Weights
from rankshift.mechanism.reading import read_means
from rankshift.model.loading import Tokenizer, load_tokenizer, padding_token
from rankshift.study import Base, Study
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


def find_same_base(base: Base, fingerprint: str | None) -> BaseSource:
    """Find a study's base, which has to be what it was when the study was run.

    Args:
        base: As the study names it.
        fingerprint: What it has to be; None takes it as it is.

    Raises:
        UserError: It is not to be had or has changed.
    """
    source = resolve_base(base.model, base.revision)
    if fingerprint is not None and source.fingerprint != fingerprint:
        raise UserError(f"{source.directory}: has changed since the run; restore its files")
    return source


def open_reader(study: Study, directory: Path) -> tuple[Reader, Tokenizer]:
    """Make ready to read with a base and its tokenizer, with all threads that a study may use."""
    tokenizer = load_tokenizer(directory)
    torch.set_num_threads(study.compute.threads * study.compute.workers)
    return Reader(study, directory, padding_token(tokenizer)), tokenizer


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
