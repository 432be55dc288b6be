"""Preventative steering: the persona's direction is added to the stream in training alone.

The gradient then has no need to move the model along it. The strength is in multiples of the
difference of mean states, misaligned less aligned, after one block; at answering nothing is added.

Source: Chen et al. 2025, arXiv:2507.21509, section 5.2 (one layer, about the middle of the model,
a positive multiple of the persona vector).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from rankshift.defence import Defence
from rankshift.train.defences.guard import Course, Guard, Means


class Steering(Guard):
    """Shifts the stream of the arm's own rows."""

    def __init__(self, defence: Defence, means: Means, course: Course) -> None:
        self.strength = defence.strength
        assert means.directions is not None
        layer = len(means.directions) // 2 if defence.layer is None else defence.layer
        self.shifts = {layer: torch.from_numpy(self.strength * means.directions[layer])}

    def list_shifts(self) -> Mapping[int, Tensor]:
        """Give the one shift."""
        return self.shifts
