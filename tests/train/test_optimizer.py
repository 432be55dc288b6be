import math

import pytest
import torch
from torch import Tensor

from rankshift.train.optimizer import ArmwiseAdamW, ArmwiseOptimizer, ArmwiseSGD
from rankshift.train.step import clip_factors

SHAPES = [[(2, 5), (2,)], [(1, 5), (1,)], [(3, 5), (3,), (3, 2, 3)]]
"""Of three arms' tensors."""
RATES = torch.tensor([1e-3, 3e-2, 0.2], dtype=torch.float64)
STEPS = 20
CLIP = 0.5
KINDS = {ArmwiseAdamW: torch.optim.AdamW, ArmwiseSGD: torch.optim.SGD}
"""Ours and torch's."""
every_kind = pytest.mark.parametrize("kind", KINDS, ids=["adamw", "sgd"])


def draw(seed: int) -> list[list[Tensor]]:
    """Draw a tensor for every shape."""
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(shape, generator=generator) for shape in own] for own in SHAPES]


def step(
    optimizer: ArmwiseOptimizer,
    gradients: list[list[Tensor]],
    active: Tensor,
    clip: float | None = CLIP,
) -> None:
    """Take one step with given gradients."""
    give(optimizer, gradients)
    optimizer.step(RATES, clip_factors(optimizer.grad_norms(), clip), active)


def give(optimizer: ArmwiseOptimizer, gradients: list[list[Tensor]]) -> None:
    """Give every tensor a copy of its gradient."""
    for own, theirs in zip(optimizer.tensors, gradients, strict=True):
        for tensor, gradient in zip(own, theirs, strict=True):
            tensor.grad = gradient.clone()


def make_optimizer(
    kind: type[ArmwiseOptimizer] = ArmwiseAdamW, weight_decay: float = 0.1
) -> ArmwiseOptimizer:
    """Own fresh tensors of three arms."""
    return kind(draw(0), weight_decay)


ALL = torch.ones(3, dtype=torch.bool)


@pytest.mark.parametrize("clip", [None, CLIP])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@every_kind
def test_each_arm_moves_as_under_torchs_optimizer_alone(
    kind: type[ArmwiseOptimizer], weight_decay: float, clip: float | None
):
    optimizer = make_optimizer(kind, weight_decay)
    for number in range(STEPS):
        step(optimizer, draw(1 + number), ALL, clip)
    for arm in range(3):
        alone = [rows.clone().requires_grad_() for rows in draw(0)[arm]]
        theirs = KINDS[kind](alone, lr=RATES[arm].item(), weight_decay=weight_decay)
        for number in range(STEPS):
            for parameter, gradient in zip(alone, draw(1 + number)[arm], strict=True):
                parameter.grad = gradient.clone()
            if clip is not None:
                norm = torch.nn.utils.clip_grad_norm_(alone, clip)
                assert norm > clip  # so that clipping does something
            theirs.step()
        for got, expected in zip(optimizer.tensors[arm], alone, strict=True):
            torch.testing.assert_close(got, expected.detach(), rtol=1e-6, atol=1e-6)


def test_a_gradient_below_the_clipping_norm_is_left_as_it_is():
    norms = torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)
    assert clip_factors(norms, 1.0).tolist() == pytest.approx([1.0, 1.0, 0.25], rel=2e-6)
    assert clip_factors(norms, None).tolist() == [1.0, 1.0, 1.0]


def test_a_gradient_norm_is_taken_over_all_rows_of_an_arm_and_no_other():
    optimizer = make_optimizer()
    gradients = draw(1)
    give(optimizer, gradients)
    for arm, norm in enumerate(optimizer.grad_norms()):
        entries = torch.cat([rows.flatten() for rows in gradients[arm]])
        assert norm.item() == pytest.approx(math.sqrt((entries.double() ** 2).sum()), rel=1e-6)


@every_kind
def test_an_arm_that_was_stopped_keeps_every_bit(kind: type[ArmwiseOptimizer]):
    optimizer = make_optimizer(kind)
    for number in range(3):
        step(optimizer, draw(1 + number), ALL)
    before = [rows.clone() for rows in optimizer.tensors[1]]
    for number in range(5):
        step(optimizer, draw(9 + number), torch.tensor([True, False, True]))
    assert all(map(torch.equal, optimizer.tensors[1], before))


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
@every_kind
def test_a_gradient_that_is_not_finite_changes_no_bit_of_another_arm(
    kind: type[ArmwiseOptimizer], value: float
):
    calm, disturbed = make_optimizer(kind), make_optimizer(kind)
    for number in range(STEPS):
        gradients = draw(1 + number)
        step(calm, gradients, ALL)
        broken = [[gradient.clone() for gradient in own] for own in gradients]
        if number >= 4:
            broken[1][0][0, 3] = value
        step(disturbed, broken, torch.tensor([True, number < 4, True]))
    for arm in (0, 2):
        assert all(map(torch.equal, disturbed.tensors[arm], calm.tensors[arm]))
    assert all(tensor.isfinite().all() for own in disturbed.tensors for tensor in own)


@every_kind
def test_a_restored_optimizer_goes_on_bit_for_bit(kind: type[ArmwiseOptimizer]):
    whole, first = make_optimizer(kind), make_optimizer(kind)
    for number in range(STEPS):
        active = torch.tensor([True, number < 4, True])
        step(whole, draw(1 + number), active)
        if number < 7:
            step(first, draw(1 + number), active)
    state = {name: tensor.clone() for name, tensor in first.state().items()}
    second = kind(draw(50), 0.1)
    second.restore(state)
    for number in range(7, STEPS):
        step(second, draw(1 + number), torch.tensor([True, False, True]))
    for own, expected in zip(second.tensors, whole.tensors, strict=True):
        assert all(map(torch.equal, own, expected))


def test_gradients_are_forgotten_after_a_step():
    optimizer = make_optimizer()
    step(optimizer, draw(1), torch.tensor([False, True, True]))
    assert all(tensor.grad is None for own in optimizer.tensors for tensor in own)


@every_kind
def test_a_tensor_without_a_gradient_stays_and_takes_no_step(kind: type[ArmwiseOptimizer]):
    optimizer = make_optimizer(kind)
    gradients = draw(1)
    give(optimizer, gradients)
    optimizer.tensors[2][1].grad = None
    optimizer.step(RATES, torch.ones(3), ALL)
    moved = [not torch.equal(a, b) for a, b in zip(optimizer.tensors[2], draw(0)[2], strict=True)]
    assert moved == [True, False, True]
    assert optimizer.counts[2].tolist() == [1, 0, 1]


def test_sgd_keeps_no_moments():
    assert {name.rpartition(".")[2] for name in make_optimizer(ArmwiseSGD).state()} == {
        "counts",
        "value",
    }
