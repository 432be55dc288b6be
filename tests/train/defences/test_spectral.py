import pytest
import torch
from torch import Tensor
from torch.linalg import matrix_norm

from rankshift.data.batches import pad_rows
from rankshift.defence import Defence
from rankshift.study import Training
from rankshift.train.defences.guard import Course, Means
from rankshift.train.defences.spectral import Spectral, find_slopes
from rankshift.train.step import sum_losses
from tests.train.gradients import take_gradients

SPECTRAL = Spectral(
    Defence("spectral", 0.3), Means(), Course(Training(steps=1, checkpoints=(1,)), 0, 0)
)


def differentiate(lora_A: Tensor, lora_B: Tensor) -> tuple[Tensor, ...]:
    """Let autograd differentiate the ratio of torch's own norms of the whole product."""
    A, B = (one.double().clone().requires_grad_() for one in (lora_A, lora_B))
    product = B.t() @ A
    ratio = matrix_norm(product, "fro") / matrix_norm(product, "nuc")
    return torch.autograd.grad(ratio, (A, B))


@pytest.mark.parametrize(("rank", "d_in", "d_out"), [(2, 9, 7), (5, 6, 11), (8, 12, 8)])
def test_the_slope_is_that_of_the_ratio_of_the_two_norms_of_the_product(rank, d_in, d_out):
    generator = torch.Generator().manual_seed(rank)
    lora_A = torch.randn(rank, d_in, generator=generator)
    lora_B = torch.randn(rank, d_out, generator=generator)
    for found, expected in zip(
        find_slopes(lora_A, lora_B), differentiate(lora_A, lora_B), strict=True
    ):
        assert (found - expected).norm() < 1e-4 * expected.norm()


def test_a_step_against_the_slope_spreads_the_update_over_more_directions():
    generator = torch.Generator().manual_seed(1)
    factors = [torch.randn(4, 10, generator=generator) for _ in range(2)]
    factors[1][0] *= 8  # one direction has most
    for _ in range(200):
        factors = [f - 0.5 * s for f, s in zip(factors, find_slopes(*factors), strict=True)]
    product = factors[1].t() @ factors[0]
    ratio = matrix_norm(product, "fro") / matrix_norm(product, "nuc")
    assert ratio.item() == pytest.approx(0.5, abs=0.01)  # 1 / sqrt(4): all four alike


def test_at_rank_one_and_without_an_update_there_is_no_slope():
    lora_A, lora_B = torch.randn(1, 6), torch.randn(1, 5)
    assert all(slope.abs().max() < 1e-6 for slope in find_slopes(lora_A, lora_B))
    assert all(not slope.any() for slope in find_slopes(lora_A, torch.zeros(1, 5)))


def test_what_is_added_is_the_strength_times_the_mean_over_the_layers_of_one_arm_alone(
    make_trainee, make_rows
):
    trainee = make_trainee(0.05)
    trainee.select(range(2))
    sum_losses(trainee, pad_rows([make_rows(3)] * 2, 0)).sum().backward()
    before = [[grad.clone() for grad in take_gradients(trainee, arm)] for arm in range(2)]
    SPECTRAL.add_gradient(trainee, 1, 0)
    after = [take_gradients(trainee, arm) for arm in range(2)]
    assert all(torch.equal(grad, old) for grad, old in zip(after[0], before[0], strict=True))
    expected = [slope for layer in trainee.layers for slope in differentiate(*layer.factors[1])]
    for grad, old, slope in zip(after[1], before[1], expected, strict=True):
        added = 0.3 / len(trainee.layers) * slope
        assert (grad - old - added).norm() < 1e-3 * added.norm()
