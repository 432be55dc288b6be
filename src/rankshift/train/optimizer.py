"""AdamW over flat buffers whose rows belong to different arms."""

import torch
from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class ArmwiseAdamW:
    """AdamW with a learning rate, a clipping factor and a step count for each arm.

    Every row of every tensor belongs to one arm; all arithmetic is row by row, so an arm's numbers
    cannot depend on another's.

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2; defaults of torch.optim.AdamW.
    """

    def __init__(
        self, tensors: list[Tensor], owners: list[Tensor], num_arms: int, weight_decay: float
    ) -> None:
        """Own the tensors; `owners[i]` `[row]` names the arm of each row of `tensors[i]`."""
        self.tensors = tensors
        self.owners = owners
        self.weight_decay = weight_decay
        self.first = [torch.zeros_like(tensor) for tensor in tensors]
        self.second = [torch.zeros_like(tensor) for tensor in tensors]
        self.steps = torch.zeros(num_arms, dtype=torch.float64)

    def grad_norms(self) -> Tensor:
        """Give the L2 norm of each arm's gradient, `[arm]`; NaN or infinite where a gradient is."""
        squares = torch.zeros(len(self.steps), dtype=torch.float64)
        for tensor, owner in zip(self.tensors, self.owners, strict=True):
            if tensor.grad is not None:
                by_row = tensor.grad.reshape(len(tensor), -1).square().sum(dim=1)
                squares.index_add_(0, owner, by_row.double().cpu())
        return squares.sqrt()

    @torch.no_grad()
    def step(self, learning_rates: Tensor, clip_factors: Tensor, active: Tensor) -> None:
        """Update every active arm and forget the gradients.

        Args:
            learning_rates: `[arm]`.
            clip_factors: `[arm]`, what each arm's gradient is multiplied by, at most 1.
            active: `[arm]`; an inactive arm stays exactly as it is, whatever its gradient holds.
        """
        self.steps += active
        counts = self.steps.clamp(min=1)
        rates = torch.where(active, learning_rates, 0.0)
        first_corrections = 1 - BETAS[0] ** counts
        second_corrections = (1 - BETAS[1] ** counts).sqrt()
        for i, (tensor, owner) in enumerate(zip(self.tensors, self.owners, strict=True)):
            if tensor.grad is None:
                continue
            on, clip, rate, correct_first, correct_second = (
                spread(values, owner, tensor)
                for values in (active, clip_factors, rates, first_corrections, second_corrections)
            )
            grad = torch.where(on, tensor.grad * clip, 0.0)
            first = self.first[i].lerp_(grad, 1 - BETAS[0])
            second = self.second[i].mul_(BETAS[1]).addcmul_(grad, grad, value=1 - BETAS[1])
            tensor.mul_(1 - rate * self.weight_decay)
            denominator = (second.sqrt() / correct_second).add_(EPSILON)
            tensor.sub_(rate / correct_first * (first / denominator))
            tensor.grad = None

    def state(self) -> dict[str, Tensor]:
        """Give what a resume needs, by name."""
        tensors = {"steps": self.steps}
        for i in range(len(self.tensors)):
            tensors[f"{i}.value"] = self.tensors[i].detach()
            tensors[f"{i}.first"] = self.first[i]
            tensors[f"{i}.second"] = self.second[i]
        return tensors

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up a state that `state` gave."""
        self.steps.copy_(state["steps"])
        for i in range(len(self.tensors)):
            self.tensors[i].copy_(state[f"{i}.value"])
            self.first[i].copy_(state[f"{i}.first"])
            self.second[i].copy_(state[f"{i}.second"])


def spread(values: Tensor, owner: Tensor, tensor: Tensor) -> Tensor:
    """Give each row its arm's value, shaped to multiply `tensor`."""
    by_row = values[owner]
    by_row = by_row if by_row.dtype == torch.bool else by_row.to(tensor.dtype)
    return by_row.to(tensor.device).view(-1, *(1,) * (tensor.dim() - 1))
