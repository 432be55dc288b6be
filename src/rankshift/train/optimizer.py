"""Optimizers of arms that are trained together, each as if it were alone."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class ArmwiseOptimizer(ABC):
    """An optimizer with a learning rate, a clipping factor and a step count for each arm.

    An arm's update reads and writes its own tensors alone, so its numbers cannot depend on
    another's.
    """

    def __init__(self, tensors: Sequence[Sequence[Tensor]], weight_decay: float) -> None:
        """Own the trainable tensors of every arm, `tensors[arm]`."""
        self.tensors = [list(own) for own in tensors]
        self.weight_decay = weight_decay
        # A count of its own for every tensor: one without a gradient takes no step.
        self.counts = [torch.zeros(len(own), device=own[0].device) for own in self.tensors]

    @abstractmethod
    def _step_arm(self, arm: int, rate: float, factor: float) -> None:
        """Update the tensors of an arm that have a gradient, multiplied by a factor."""

    @abstractmethod
    def _moments(self, arm: int, index: int) -> dict[str, Tensor]:
        """Give the state of one tensor by name, in the memory in which it is kept."""

    def grad_norms(self) -> Tensor:
        """Give the L2 norm of each arm's gradient, `[arm]`; NaN or infinite where a gradient is."""
        norms = [
            get_total_norm([t.grad for t in own if t.grad is not None]) for own in self.tensors
        ]
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
        for arm, own in enumerate(self.tensors):
            if active[arm]:
                self._step_arm(arm, rates[arm], factors[arm])
            for tensor in own:
                tensor.grad = None

    def state(self) -> dict[str, Tensor]:
        """Give what a resume needs, by name."""
        tensors = {}
        for arm, own in enumerate(self.tensors):
            tensors[f"{arm}.counts"] = self.counts[arm]
            for i, tensor in enumerate(own):
                tensors[f"{arm}.{i}.value"] = tensor.detach()
                moments = self._moments(arm, i)
                tensors |= {f"{arm}.{i}.{name}": moment for name, moment in moments.items()}
        return tensors

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up a state that `state` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


class ArmwiseAdamW(ArmwiseOptimizer):
    """AdamW: an arm's update is one call of torch's fused kernel on its own tensors.

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2; defaults of torch.optim.AdamW.
    """

    def __init__(self, tensors: Sequence[Sequence[Tensor]], weight_decay: float) -> None:
        super().__init__(tensors, weight_decay)
        self.first = [[torch.zeros_like(t, requires_grad=False) for t in own] for own in tensors]
        self.second = [[torch.zeros_like(t, requires_grad=False) for t in own] for own in tensors]

    def _moments(self, arm: int, index: int) -> dict[str, Tensor]:
        return {"first": self.first[arm][index], "second": self.second[arm][index]}

    def _step_arm(self, arm: int, rate: float, factor: float) -> None:
        own, counts = self.tensors[arm], self.counts[arm]
        used = [i for i, tensor in enumerate(own) if tensor.grad is not None]
        adamw(
            [own[i] for i in used],
            [grad for tensor in own if (grad := tensor.grad) is not None],
            [self.first[arm][i] for i in used],
            [self.second[arm][i] for i in used],
            [],
            [counts[i] for i in used],
            fused=True,
            grad_scale=_make_divisor(factor, counts),
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=rate,
            weight_decay=self.weight_decay,
            eps=EPSILON,
            maximize=False,
        )


class ArmwiseSGD(ArmwiseOptimizer):
    """Gradient descent without momentum: w becomes (1 - rate x decay) w - rate x gradient.

    Without momentum, weight decay added to the gradient, as in torch.optim.SGD, is the same as
    AdamW's, decoupled from it. It is no part of what is clipped, as for AdamW.

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101, proposition 1; torch.optim.SGD.
    """

    def _moments(self, arm: int, index: int) -> dict[str, Tensor]:
        return {}

    def _step_arm(self, arm: int, rate: float, factor: float) -> None:
        own, counts = self.tensors[arm], self.counts[arm]
        used = [i for i, tensor in enumerate(own) if tensor.grad is not None]
        sgd(
            [own[i] for i in used],
            [grad for tensor in own if (grad := tensor.grad) is not None],
            [None] * len(used),
            fused=True,
            grad_scale=_make_divisor(factor, counts),
            weight_decay=self.weight_decay,
            momentum=0.0,
            lr=rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )
        counts[used] += 1


def _make_divisor(factor: float, beside: Tensor) -> Tensor | None:
    """Give what torch's fused kernels divide gradients by, to multiply them by a factor."""
    return torch.tensor(1 / factor, device=beside.device) if factor < 1 else None
