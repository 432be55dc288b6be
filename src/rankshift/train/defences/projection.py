"""Projection: what an update writes along the persona's direction is taken out after every step.

Of each adapted layer whose output is added to the residual stream, in block l, with v the unit
direction after that block: B becomes B - strength v v^T B. At strength 1 the update never writes
along v; other layers are free, and may still move states along it.

Source: ours; taking a direction out of what writes to the stream is Arditi et al. 2024,
arXiv:2406.11717, section 4.1 (weight orthogonalization), there done once and to all weights.
"""

import torch

from rankshift.defence import Defence
from rankshift.model.targets import find_written_block
from rankshift.train.defences.guard import Course, Guard, Means
from rankshift.train.trainee import Trainee


class Projection(Guard):
    """Takes the direction out of B."""

    def __init__(self, defence: Defence, means: Means, course: Course) -> None:
        self.strength = defence.strength
        assert means.directions is not None
        directions = torch.from_numpy(means.directions)
        self.units = directions / directions.norm(dim=-1, keepdim=True)

    @torch.no_grad()
    def correct(self, trainee: Trainee, arm: int) -> None:
        """Go through the layers that write to the stream."""
        for layer in trainee.layers:
            block = find_written_block(layer.name)
            if not layer.factors[arm] or block is None:
                continue
            _, lora_B = layer.factors[arm]  # [rank, d_out]
            if lora_B.shape[1] != self.units.shape[1]:
                continue
            unit = self.units[block].to(lora_B)
            lora_B -= self.strength * (lora_B @ unit)[:, None] * unit
