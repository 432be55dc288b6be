"""What backward passes have left with the factors of an arm."""

from torch import Tensor

from rankshift.train.trainee import Trainee


def take_gradients(trainee: Trainee, arm: int) -> list[Tensor]:
    """Give the gradients of an arm's factors, of those that have one."""
    return [tensor.grad for tensor in trainee.tensors[arm] if tensor.grad is not None]
