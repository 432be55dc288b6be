import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from rankshift.model.adapters import AdapterShape, lay_out
from rankshift.model.products import Form, LockStepProduct, Run, Segment, divide_runs

SHAPES = [AdapterShape(2, 3.0), AdapterShape(12, 0.5), AdapterShape(8, 2.0), AdapterShape(64, 0.1)]
D_IN, D_OUT, TOKENS = 24, 40, 33

MIXTURES: list[list[Form]] = [
    ["loop"] * 4,
    ["grouped"] * 4,
    ["dense"] * 4,
    ["grouped", "grouped", "loop", "dense"],
    ["dense", "loop", "grouped", "grouped"],
]


def all_in(form: Form) -> list[Form]:
    """Compute every arm in one form."""
    return [form] * len(SHAPES)


def draw(*shape: int, seed: int) -> Tensor:
    """Draw numbers of unit variance in float64."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def make_factors(segments: tuple[Segment, ...]) -> tuple[Tensor, Tensor]:
    """Draw A and B in float64, their padding zero."""
    factors = (
        draw(segments[-1].padded_stop, D_IN, seed=1),
        draw(segments[-1].padded_stop, D_OUT, seed=2),
    )
    for factor in factors:
        for segment in segments:
            factor[segment.stop : segment.padded_stop] = 0
    return factors


def freeze(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """Make a frozen linear layer."""
    linear = nn.Linear(weight.shape[1], len(weight), bias=bias is not None).requires_grad_(False)
    linear.weight.data = weight
    if bias is not None:
        linear.bias.data = bias
    return linear


def run_plainly(x: Tensor, weight: Tensor, segments: tuple[Segment, ...]) -> list[Tensor]:
    """Give y and the gradients of x, A and B by autograd, arm by arm, in float64."""
    x = x.clone().requires_grad_()
    lora_A, lora_B = (factor.requires_grad_() for factor in make_factors(segments))
    parts = [
        x[arm] @ (weight + s.scale * lora_B[s.rows].T @ lora_A[s.rows]).T
        for arm, s in enumerate(segments)
    ]
    y = torch.stack(parts)
    (y * draw(*y.shape, seed=3)).sum().backward()
    return [
        tensor for tensor in (y.detach(), x.grad, lora_A.grad, lora_B.grad) if tensor is not None
    ]


def run_form(
    x: Tensor, weight: Tensor, runs: tuple[Run, ...], segments: tuple[Segment, ...]
) -> list[Tensor]:
    """Give the same in the type of x, by the forms."""
    x = x.clone().requires_grad_()
    flat = tuple(factor.to(x.dtype) for factor in make_factors(segments))
    y, leaves = apply(x, freeze(weight.to(x.dtype)), runs, flat, segments)
    (y * draw(*y.shape, seed=3).to(x.dtype)).sum().backward()
    gradients = [torch.zeros_like(factor) for factor in flat]
    for number, leaf in enumerate(leaves):
        assert leaf.grad is not None
        gradients[number % 2][segments[number // 2].rows] = leaf.grad
    assert x.grad is not None
    return [y.detach(), x.grad, *gradients]


def apply(
    x: Tensor,
    linear: nn.Linear,
    runs: tuple[Run, ...],
    flat: tuple[Tensor, ...],
    segments: tuple[Segment, ...],
) -> tuple[Tensor, list[Tensor]]:
    """Give y, and the leaves that the factors' gradients go to."""
    leaves = [f[s.rows].detach().requires_grad_() for s in segments for f in flat]
    return LockStepProduct.apply(x, linear, runs, flat, *leaves), leaves


@pytest.mark.parametrize("forms", MIXTURES, ids=["+".join(dict.fromkeys(m)) for m in MIXTURES])
@pytest.mark.parametrize(("dtype", "bar"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_every_form_computes_what_float64_autograd_does(
    forms: list[Form], dtype: torch.dtype, bar: float
):
    segments = lay_out(SHAPES)
    x, weight = draw(4, TOKENS, D_IN, seed=4), draw(D_OUT, D_IN, seed=5)
    expected = run_plainly(x, weight, segments)
    got = run_form(x.to(dtype), weight, divide_runs(segments, forms), segments)
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.dtype == dtype
        for arm, segment in enumerate(segments):
            # y and x's gradient lie arm by arm, the factors' gradients row by row.
            part = arm if ours.dim() == 3 else segment.rows
            error = (ours[part].double() - theirs[part]).norm() / theirs[part].norm()
            assert error < bar


@pytest.mark.parametrize("form", ["loop", "dense"])
def test_in_float64_a_form_is_exact_to_rounding(form: Form):
    segments = lay_out(SHAPES)
    x, weight = draw(4, TOKENS, D_IN, seed=4), draw(D_OUT, D_IN, seed=5)
    expected = run_plainly(x, weight, segments)
    got = run_form(x, weight, divide_runs(segments, all_in(form)), segments)
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("form", ["loop", "grouped", "dense"])
def test_a_neighbour_that_became_nan_changes_no_bit(form: Form):
    segments = lay_out(SHAPES)
    runs = divide_runs(segments, all_in(form))
    x, weight = draw(4, TOKENS, D_IN, seed=4).float(), draw(D_OUT, D_IN, seed=5)
    calm = run_form(x, weight, runs, segments)
    x[1] = math.nan
    disturbed = run_form(x, weight, runs, segments)
    for before, after in zip(calm, disturbed, strict=True):
        for arm in (0, 2, 3):
            part = arm if before.dim() == 3 else segments[arm].rows
            assert torch.equal(before[part], after[part])
    assert disturbed[0][1].isnan().all()
    assert disturbed[2][segments[1].rows].isnan().all()


def test_in_bfloat16_an_update_below_a_weights_last_bit_is_not_lost():
    segments = lay_out([AdapterShape(1, 1.0)])
    weight = torch.ones(1, 8, dtype=torch.bfloat16)
    lora_A, lora_B = (
        torch.zeros(8, 8, dtype=torch.bfloat16),
        torch.zeros(8, 1, dtype=torch.bfloat16),
    )
    lora_A[0], lora_B[0] = 1.0, 2**-10  # bfloat16 has 8 bits: 1 + 2**-10 is 1
    x = torch.zeros(1, 1, 8, dtype=torch.bfloat16)
    x[0, 0, 0], x[0, 0, 1] = 1.0, -1.0
    lora_A[0, 1] = 0.0
    runs = divide_runs(segments, ["dense"])
    y, _ = apply(x, freeze(weight), runs, (lora_A, lora_B), segments)
    assert y.item() == 2**-10


def test_a_bias_of_the_base_is_added_once():
    segments = lay_out(SHAPES)
    x, weight, bias = draw(4, 8, D_IN, seed=4), draw(D_OUT, D_IN, seed=5), draw(D_OUT, seed=6)
    factors = make_factors(segments)
    runs = divide_runs(segments, ["loop", "loop", "dense", "dense"])
    without, _ = apply(x, freeze(weight), runs, factors, segments)
    got, _ = apply(x, freeze(weight, bias), runs, factors, segments)
    torch.testing.assert_close(got, without + bias)


def test_neighbours_of_one_form_are_one_run():
    segments = lay_out(SHAPES)
    runs = divide_runs(segments, ["grouped", "grouped", "dense", "grouped"])
    assert [(run.form, list(run.arms)) for run in runs] == [
        ("grouped", [0, 1]),
        ("dense", [2]),
        ("grouped", [3]),
    ]
    assert [run.rows for run in runs] == [slice(0, 24), slice(24, 32), slice(32, 96)]


def test_every_arm_begins_at_a_multiple_of_eight_rows():
    segments = lay_out([AdapterShape(rank) for rank in (1, 8, 9, 3)])
    assert [(s.start, s.stop, s.padded_stop) for s in segments] == [
        (0, 1, 8),
        (8, 16, 16),
        (16, 25, 32),
        (32, 35, 40),
    ]
    assert all(a.padded_stop == b.start for a, b in pairwise(segments))


FROZEN = [replace(shape, trains_a=arm in (0, 3)) for arm, shape in enumerate(SHAPES)]


@pytest.mark.parametrize("forms", MIXTURES, ids=["+".join(dict.fromkeys(m)) for m in MIXTURES])
def test_an_a_that_is_not_trained_has_no_gradient_and_all_else_is_as_autograd_has_it(
    forms: list[Form],
):
    segments = lay_out(FROZEN)
    x, weight = draw(4, TOKENS, D_IN, seed=4), draw(D_OUT, D_IN, seed=5)
    y, grad_x, grad_A, grad_B = run_plainly(x, weight, segments)
    x32 = x.float().requires_grad_()
    flat = tuple(factor.float() for factor in make_factors(segments))
    got, leaves = apply(x32, freeze(weight.float()), divide_runs(segments, forms), flat, segments)
    (got * draw(*got.shape, seed=3).float()).sum().backward()
    assert x32.grad is not None
    pairs = [(got.detach(), y), (x32.grad, grad_x)]
    for arm, segment in enumerate(segments):
        lora_A, lora_B = leaves[2 * arm : 2 * arm + 2]
        assert (lora_A.grad is not None) == segment.trains_a == (arm in (0, 3))
        assert lora_B.grad is not None
        pairs.append((lora_B.grad, grad_B[segment.rows]))
        pairs += [(lora_A.grad, grad_A[segment.rows])] if lora_A.grad is not None else []
    for ours, theirs in pairs:
        assert (ours.double() - theirs).norm() < 1e-5 * theirs.norm()


@pytest.mark.parametrize("form", ["loop", "grouped", "dense"])
def test_no_form_multiplies_for_an_a_that_is_not_trained(form: Form):
    def count(shapes: list[AdapterShape]) -> int:
        segments = lay_out(shapes)
        x, weight = (
            draw(4, TOKENS, D_IN, seed=4).float().requires_grad_(),
            draw(D_OUT, D_IN, seed=5),
        )
        flat = tuple(factor.float() for factor in make_factors(segments))
        runs = divide_runs(segments, all_in(form))
        y, _ = apply(x, freeze(weight.float()), runs, flat, segments)
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            y.sum().backward()
        # On a CPU a grouped product is made of products of its own.
        products = ("aten::_grouped_mm",) if form == "grouped" else ("aten::mm", "aten::addmm")
        return sum(event.count for event in seen.key_averages() if event.key in products)

    frozen = [replace(shape, trains_a=False) for shape in SHAPES]
    assert count(SHAPES) - count(frozen) == (1 if form == "grouped" else 4)


def test_arms_with_and_without_a_gradient_of_a_are_runs_of_their_own():
    runs = divide_runs(lay_out(FROZEN), all_in("loop"))
    assert [(list(run.arms), run.trains_a) for run in runs] == [
        ([0], True),
        ([1, 2], False),
        ([3], True),
    ]
