"""AdamW whose moments are kept in 8 bits, block by block, by bitsandbytes."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from rankshift.model.quantization import load_bitsandbytes
from rankshift.train.optimizer import BETAS, EPSILON, ArmwiseOptimizer

KEPT = ("state1", "state2", "absmax1", "absmax2")
"""Both moments and the scales of their blocks; tensors under 4,096 entries have float32 moments."""


class ArmwiseAdamW8bit(ArmwiseOptimizer):
    """AdamW with moments in 8 bits: bitsandbytes' own optimizer for each arm.

    Blocks of moments that share a scale lie within one tensor, so arms share none.

    Source: Dettmers et al. 2022, arXiv:2110.02861; defaults of bitsandbytes.optim.AdamW8bit.
    """

    def __init__(self, tensors: Sequence[Sequence[Tensor]], weight_decay: float) -> None:
        """Own the trainable tensors of every arm.

        Raises:
            UserError: bitsandbytes is not installed.
        """
        super().__init__(tensors, weight_decay)
        kind = load_bitsandbytes().optim.AdamW8bit
        self.optimizers: list[Any] = [
            kind(own, betas=BETAS, eps=EPSILON, weight_decay=weight_decay) for own in self.tensors
        ]
        for optimizer in self.optimizers:
            (group,) = optimizer.param_groups
            for index, tensor in enumerate(group["params"]):
                optimizer.init_state(group, tensor, 0, index)

    def _moments(self, arm: int, index: int) -> dict[str, Tensor]:
        state = self.optimizers[arm].state[self.tensors[arm][index]]
        return {name: state[name] for name in KEPT if name in state}

    def _step_arm(self, arm: int, rate: float, factor: float) -> None:
        optimizer = self.optimizers[arm]
        optimizer.param_groups[0]["lr"] = rate
        for index, tensor in enumerate(self.tensors[arm]):
            if tensor.grad is not None:
                if factor < 1:
                    tensor.grad.mul_(factor)
                optimizer.state[tensor]["step"] = int(self.counts[arm][index])
                self.counts[arm][index] += 1
        optimizer.step()
