import math

import pytest
import torch
from torch import Tensor

from rankshift.model.quantization import load_bitsandbytes
from rankshift.train.eight_bit import ArmwiseAdamW8bit
from rankshift.train.step import clip_factors

SHAPES = [[(40, 130), (7, 3)], [(300, 16)], [(5,), (2, 3000), (1, 4096)]]
"""Of three arms' tensors; those of 4,096 entries and more have moments in 8 bits."""
RATES = torch.tensor([1e-3, 3e-2, 0.2], dtype=torch.float64)
STEPS = 12
CLIP = 0.5
ALL = torch.ones(3, dtype=torch.bool)


def draw(seed: int) -> list[list[Tensor]]:
    """Draw a tensor for every shape."""
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(shape, generator=generator) for shape in own] for own in SHAPES]


def make_optimizer(weight_decay: float = 0.1, seed: int = 0) -> ArmwiseAdamW8bit:
    """Own fresh tensors of three arms."""
    tensors = [[tensor.requires_grad_() for tensor in own] for own in draw(seed)]
    return ArmwiseAdamW8bit(tensors, weight_decay)


def step(
    optimizer: ArmwiseAdamW8bit,
    gradients: list[list[Tensor]],
    active: Tensor = ALL,
    clip: float | None = CLIP,
) -> None:
    """Take one step with copies of given gradients."""
    for own, theirs in zip(optimizer.tensors, gradients, strict=True):
        for tensor, gradient in zip(own, theirs, strict=True):
            tensor.grad = gradient.clone()
    optimizer.step(RATES, clip_factors(optimizer.grad_norms(), clip), active)


@pytest.mark.parametrize("clip", [None, CLIP])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_each_arm_moves_as_under_bitsandbytes_adamw_alone_bit_for_bit(
    weight_decay: float, clip: float | None
):
    optimizer = make_optimizer(weight_decay)
    for number in range(STEPS):
        step(optimizer, draw(1 + number), clip=clip)
    for arm in range(3):
        alone = [torch.nn.Parameter(tensor) for tensor in draw(0)[arm]]
        theirs = load_bitsandbytes().optim.AdamW8bit(
            alone, lr=RATES[arm].item(), weight_decay=weight_decay
        )
        for number in range(STEPS):
            gradients = draw(1 + number)[arm]
            norm = math.sqrt(sum(float((g.double() ** 2).sum()) for g in gradients))
            for parameter, gradient in zip(alone, gradients, strict=True):
                parameter.grad = gradient * (1.0 if clip is None else clip / (norm + 1e-6))
            theirs.step()
        moments = {theirs.state[parameter]["state1"].dtype for parameter in alone}
        assert torch.uint8 in moments
        for got, expected in zip(optimizer.tensors[arm], alone, strict=True):
            if clip is None:
                assert torch.equal(got, expected)
            torch.testing.assert_close(got, expected.detach(), rtol=1e-3, atol=1e-3)


def test_the_moments_are_kept_in_a_byte_each():
    state = make_optimizer().state()
    assert state["1.0.state1"].dtype == state["1.0.state2"].dtype == torch.uint8
    assert state["1.0.absmax1"].shape == (math.ceil(4800 / 256),)
    assert state["0.1.state1"].dtype == torch.float32  # small
    assert "0.1.absmax1" not in state


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_a_gradient_that_is_not_finite_changes_no_bit_of_another_arm(value: float):
    calm, disturbed = make_optimizer(), make_optimizer()
    for number in range(STEPS):
        gradients = draw(1 + number)
        step(calm, gradients)
        broken = [[gradient.clone() for gradient in own] for own in gradients]
        if number >= 4:
            broken[1][0][0, 3] = value
        step(disturbed, broken, torch.tensor([True, number < 4, True]))
    for arm in (0, 2):
        assert all(map(torch.equal, disturbed.tensors[arm], calm.tensors[arm]))
    assert all(tensor.isfinite().all() for own in disturbed.tensors for tensor in own)


def test_a_restored_optimizer_goes_on_bit_for_bit():
    whole, first = make_optimizer(), make_optimizer()
    for number in range(STEPS):
        active = torch.tensor([True, number < 4, True])
        step(whole, draw(1 + number), active)
        if number < 7:
            step(first, draw(1 + number), active)
    state = {name: tensor.clone() for name, tensor in first.state().items()}
    second = make_optimizer(seed=50)
    second.restore(state)
    for number in range(7, STEPS):
        step(second, draw(1 + number), torch.tensor([True, False, True]))
    for own, expected in zip(second.tensors, whole.tensors, strict=True):
        assert all(map(torch.equal, own, expected))


def test_a_tensor_without_a_gradient_stays_and_takes_no_step():
    optimizer = make_optimizer()
    for own, theirs in zip(optimizer.tensors, draw(1), strict=True):
        for tensor, gradient in zip(own, theirs, strict=True):
            tensor.grad = gradient
    optimizer.tensors[2][1].grad = None
    optimizer.step(RATES, torch.ones(3), ALL)
    moved = [not torch.equal(a, b) for a, b in zip(optimizer.tensors[2], draw(0)[2], strict=True)]
    assert moved == [True, False, True]
    assert optimizer.counts[2].tolist() == [1, 0, 1]
    assert all(tensor.grad is None for own in optimizer.tensors for tensor in own)
