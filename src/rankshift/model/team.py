"""Processes that do one group's work together: which one this is, its rows, and sums over all."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, distributed

from rankshift.data.rendering import Rendered


@dataclass(frozen=True)
class Team:
    """The processes of a group. Each holds a part of the base and reads a part of the rows."""

    size: int = 1
    place: int = 0
    """Of this process, from 0. The first one alone writes."""

    @property
    def is_first(self) -> bool:
        """Say whether this is the process that writes."""
        return self.place == 0

    def share(self, rows: Sequence[Rendered]) -> list[Rendered]:
        """Give this process its rows of some that are read together.

        Layers are gathered by all processes at the same time, so each must run every pass: one for
        which there is no row reads the first, without loss.
        """
        own = list(rows[self.place :: self.size])
        return own or [replace(rows[0], loss_mask=(False,) * len(rows[0].token_ids))]

    def add(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over the processes; each is given the same bits."""
        if self.size > 1:
            tensor = tensor.clone()
            distributed.all_reduce(tensor)
        return tensor

    def add_gradients(self, tensors: Sequence[Tensor]) -> None:
        """Sum the gradients of tensors that every process holds whole.

        One that has none on any process is left without; where some have one, the others count as
        zeros.
        """
        if self.size == 1:
            return
        found = self.add(torch.tensor([tensor.grad is not None for tensor in tensors]).long())
        used = [tensor for tensor, count in zip(tensors, found.tolist(), strict=True) if count]
        if not used:
            return
        grads = [torch.zeros_like(t) if t.grad is None else t.grad for t in used]
        flat = self.add(torch.cat([grad.flatten() for grad in grads]))
        for tensor, grad in zip(used, flat.split([t.numel() for t in used]), strict=True):
            tensor.grad = grad.view_as(tensor)

    def meet(self) -> None:
        """Wait until every process is here: what the first has written can be read then."""
        if self.size > 1:
            distributed.barrier()


ALONE = Team()


@contextmanager
def join_team(store: Path, size: int, place: int) -> Iterator[Team]:
    """Join the processes that work beside this one.

    Args:
        store: A file, new for each team, by which they find each other.
        size: How many they are.
        place: Which of them this one is.
    """
    where = store.absolute().as_uri()
    distributed.init_process_group("gloo", init_method=where, rank=place, world_size=size)
    try:
        yield Team(size, place)
    finally:
        distributed.destroy_process_group()
