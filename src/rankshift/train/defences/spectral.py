"""Spectral penalty: an update is to spread over its directions, not to pile up on a few.

To the loss is added strength times the mean over adapted layers of |W|_F / |W|_*, the Frobenius
over the nuclear norm of the layer's update W = B A: 1 where one direction has all, 1/sqrt(rank)
where all have the same. It does not depend on the update's size, and at rank 1 it is 1 whatever is
learned, so it defends nothing there. A layer whose update is zero has no ratio and no gradient.

Source: Brown et al. 2026, arXiv:2606.31591. The gradient is written out: with W = U S V^T that of
the ratio is W / (F N) - F / N^2 U V^T, F and N being the two norms; where a singular value is zero
the second term is one of several subgradients.
"""

import torch
from torch import Tensor

from rankshift.defence import Defence
from rankshift.train.defences.guard import Course, Guard, Means
from rankshift.train.trainee import Trainee


class Spectral(Guard):
    """Adds the gradient of the penalty."""

    def __init__(self, defence: Defence, means: Means, course: Course) -> None:
        self.strength = defence.strength

    @torch.no_grad()
    def add_gradient(self, trainee: Trainee, arm: int, step: int) -> None:
        """Go through the layers that the arm adapts."""
        pairs = [layer.factors[arm] for layer in trainee.layers if layer.factors[arm]]
        for lora_A, lora_B in pairs:
            for factor, slope in zip((lora_A, lora_B), find_slopes(lora_A, lora_B), strict=True):
                if factor.requires_grad and factor.grad is not None:
                    factor.grad += self.strength / len(pairs) * slope


def find_slopes(lora_A: Tensor, lora_B: Tensor) -> tuple[Tensor, Tensor]:
    """Give the gradient of |W|_F / |W|_* for the factors of W = B^T A; of no update it is zero.

    Args:
        lora_A: `[rank, d_in]`.
        lora_B: `[rank, d_out]`, as an adapter's layer holds it.

    Returns:
        For A `[rank, d_in]`, and for B `[rank, d_out]`.
    """
    left, r_left = torch.linalg.qr(lora_B.t())
    right, r_right = torch.linalg.qr(lora_A.t())
    core = r_left @ r_right.t()
    U, S, Vt = torch.linalg.svd(core, full_matrices=False)
    frobenius, nuclear = S.norm(), S.sum()
    if nuclear == 0:
        return torch.zeros_like(lora_A), torch.zeros_like(lora_B)
    slope = core / (frobenius * nuclear) - frobenius / nuclear.square() * (U @ Vt)
    # W = left core right^T, so what is said of the core is carried to the factors by their own QR.
    return r_left.t() @ slope @ right.t(), r_right.t() @ slope.t() @ left.t()
