"""AdamW over flat buffers whose rows belong to different arms."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim.adamw import adamw

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class ArmwiseAdamW:
    """AdamW with a learning rate, a clipping factor and a step count for each arm.

    An arm owns the same rows of every tensor. Its update is one call of torch's fused kernel on
    views of its rows, so its numbers cannot depend on another's; rows that no arm owns never move.

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2; defaults of torch.optim.AdamW.
    """

    def __init__(
        self, tensors: Sequence[Tensor], rows: Sequence[slice], weight_decay: float
    ) -> None:
        """Own the tensors; `rows[arm]` are the rows of that arm in each of them."""
        self.tensors = list(tensors)
        self.rows = list(rows)
        self.weight_decay = weight_decay
        self.first = [torch.zeros_like(tensor) for tensor in tensors]
        self.second = [torch.zeros_like(tensor) for tensor in tensors]
        device = self.tensors[0].device if self.tensors else None
        # The kernel wants a count of its own for every tensor.
        self.counts = torch.zeros(len(self.rows), len(self.tensors), device=device)

    def grad_norms(self) -> Tensor:
        """Give the L2 norm of each arm's gradient, `[arm]`; NaN or infinite where a gradient is."""
        norms = [get_total_norm(self._gradients(rows)) for rows in self.rows]
        return torch.stack(norms).double().cpu()

    @torch.no_grad()
    def step(self, learning_rates: Tensor, clip_factors: Tensor, active: Tensor) -> None:
        """Update every active arm and forget the gradients.

        Args:
            learning_rates: `[arm]`.
            clip_factors: `[arm]`, what each arm's gradient is multiplied by, at most 1.
            active: `[arm]`; an inactive arm stays exactly as it is, whatever its gradient holds.
        """
        rates, factors = learning_rates.tolist(), clip_factors.tolist()
        for arm, rows in enumerate(self.rows):
            if active[arm]:
                self._step_arm(arm, rows, rates[arm], factors[arm])
        for tensor in self.tensors:
            tensor.grad = None

    def _step_arm(self, arm: int, rows: slice, rate: float, factor: float) -> None:
        # The kernel divides gradients by this.
        divisor = torch.tensor(1 / factor, device=self.counts.device) if factor < 1 else None
        adamw(
            [tensor[rows] for tensor in self.tensors],
            self._gradients(rows),
            [first[rows] for first in self.first],
            [second[rows] for second in self.second],
            [],
            list(self.counts[arm]),
            fused=True,
            grad_scale=divisor,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=rate,
            weight_decay=self.weight_decay,
            eps=EPSILON,
            maximize=False,
        )

    def _gradients(self, rows: slice) -> list[Tensor]:
        gradients = [tensor.grad for tensor in self.tensors]
        return [gradient[rows] for gradient in gradients if gradient is not None]

    def state(self) -> dict[str, Tensor]:
        """Give what a resume needs, by name."""
        tensors = {"counts": self.counts}
        for i in range(len(self.tensors)):
            tensors[f"{i}.value"] = self.tensors[i].detach()
            tensors[f"{i}.first"] = self.first[i]
            tensors[f"{i}.second"] = self.second[i]
        return tensors

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up a state that `state` gave."""
        self.counts.copy_(state["counts"])
        for i in range(len(self.tensors)):
            self.tensors[i].copy_(state[f"{i}.value"])
            self.first[i].copy_(state[f"{i}.first"])
            self.second[i].copy_(state[f"{i}.second"])
