"""The guards of a group's arms, called together in the places of a step."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import monotonic

import torch
from torch import Tensor, nn

from rankshift.model.stream import Change, change_stream
from rankshift.train.defences.guard import Guard
from rankshift.train.trainee import Trainee


class Guards:
    """One guard an arm, in the arms' order."""

    def __init__(self, each: Sequence[Guard]) -> None:
        """Begin to count what each defence takes."""
        self.each = list(each)
        self.seconds = [0.0] * len(self.each)
        """What each arm's defence computed besides the passes that every arm has, on a processor;
        a GPU is waited for."""

    def steer(self, model: nn.Module, arms: range) -> AbstractContextManager[None]:
        """Shift the stream of the steered arms among those that go through the model together."""
        shifts: dict[int, dict[int, Tensor]] = {}
        for place, arm in enumerate(arms if self.each else ()):
            for layer, shift in self.each[arm].list_shifts().items():
                shifts.setdefault(layer, {})[place] = shift
        if not shifts:
            return nullcontext()
        changes = {layer: add_by_arm(own, len(arms)) for layer, own in shifts.items()}
        return change_stream(model, changes)

    def add_gradients(self, trainee: Trainee, step: int) -> None:
        """Add what other terms of the loss give."""
        for arm, guard in self._list_acting():
            with self._timed(trainee, arm):
                guard.add_gradient(trainee, arm, step)

    def correct(self, trainee: Trainee, moved: Tensor) -> None:
        """Change what the optimizer has made of the arms that it moved, `[arm]`."""
        for arm, guard in self._list_acting():
            if moved[arm]:
                with self._timed(trainee, arm):
                    guard.correct(trainee, arm)

    def _list_acting(self) -> list[tuple[int, Guard]]:
        return [(arm, guard) for arm, guard in enumerate(self.each) if type(guard) is not Guard]

    @contextmanager
    def _timed(self, trainee: Trainee, arm: int) -> Iterator[None]:
        device = trainee.model.device
        settle = torch.cuda.synchronize if device.type == "cuda" else lambda _: None
        settle(device)
        started = monotonic()
        yield
        settle(device)
        self.seconds[arm] += monotonic() - started


def add_by_arm(shifts: dict[int, Tensor], num_arms: int) -> Change:
    """Add to the states of some arms alone; those of the others are the very same numbers.

    Args:
        shifts: What is added, `[width]`, by the arm's place in the pass.
        num_arms: In the pass; the rows of each lie together.
    """

    def change(states: Tensor) -> Tensor:
        parts = list(states.chunk(num_arms))
        for place, shift in shifts.items():
            parts[place] = parts[place] + shift.to(states)
        return torch.cat(parts)

    return change
