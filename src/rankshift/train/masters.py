"""Float32 copies of what is trained of a bfloat16 model: they are trained, the model follows.

Added to a bfloat16 weight, an update smaller than its last bit would be lost.

Source: Micikevicius et al. 2018, arXiv:1710.03740, section 3.1.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


class Masters:
    """Trainable float32 copies of what is trained of a model's parameters, by name."""

    def __init__(self, model: nn.Module) -> None:
        self.parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.tensors = {
            name: parameter.detach().to(torch.float32, copy=True).requires_grad_()
            for name, parameter in self.parameters.items()
        }
        for name, parameter in self.parameters.items():
            parameter.register_post_accumulate_grad_hook(self._make_hook(self.tensors[name]))

    def _make_hook(self, master: Tensor) -> Callable[[Tensor], None]:
        """Make a hook that moves a gradient to its master: micro-batches add up in float32."""

        def move(parameter: Tensor) -> None:
            assert parameter.grad is not None
            gradient, parameter.grad = parameter.grad.float(), None
            master.grad = gradient if master.grad is None else master.grad + gradient

        return move

    @torch.no_grad()
    def update_model(self) -> None:
        """Round every master into its parameter."""
        for name, parameter in self.parameters.items():
            parameter.copy_(self.tensors[name])

    @torch.no_grad()
    def take_up(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up values by name, in the model too."""
        for name, master in self.tensors.items():
            master.copy_(tensors[name])
        self.update_model()
