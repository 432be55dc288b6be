import copy
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor, nn
from transformers import PreTrainedModel

from rankshift.arms import Arm
from rankshift.grid import ALL_PROJECTIONS, Scaling
from rankshift.model.adapters import (
    AdapterShape,
    LockStepLinear,
    draw_first_factor,
    insert_adapters,
)
from rankshift.model.loading import load_model

ABOVE_WIDTH = 40
SHAPES = [AdapterShape(1, 8.0, 5), AdapterShape(4, 2.0, 6), AdapterShape(ABOVE_WIDTH, 0.2, 5)]
"""Three arms; the model is 16 wide, so the last one's rank is above every projection's width."""


def insert(model: PreTrainedModel, shapes: Sequence[AdapterShape]) -> list[LockStepLinear]:
    """Insert adapters that do something, each arm's the same whoever stands beside it."""
    layers = insert_adapters(model, shapes, ALL_PROJECTIONS)
    for number, layer in enumerate(layers):
        for shape, segment in zip(shapes, layer.segments, strict=True):
            generator = torch.Generator().manual_seed(1000 * number + shape.rank)
            rows = layer.lora_B.data[segment.start : segment.stop]
            rows.normal_(std=0.1 / math.sqrt(max(1, shape.rank)), generator=generator)
    return layers


def sum_losses(model: PreTrainedModel, token_ids: Tensor) -> Tensor:
    """Sum the loss over all rows, as transformers computes it."""
    return model(input_ids=token_ids, labels=token_ids).loss * token_ids[:, 1:].numel()


def collect_gradients(
    model: PreTrainedModel, layers: list[LockStepLinear], token_ids: Tensor
) -> list[list[Tensor]]:
    """Give each arm's gradients, layer by layer, A before B."""
    sum_losses(model, token_ids).backward()
    by_arm: list[list[Tensor]] = [[] for _ in layers[0].segments]
    for layer in layers:
        for found, factors in zip(by_arm, layer.factors, strict=True):
            for factor in factors:
                assert factor.grad is not None
                found.append(factor.grad)
    return by_arm


def relative_error(got: list[Tensor], expected: list[Tensor]) -> float:
    """Give the largest error of a tensor, relative to the tensor's norm."""
    pairs = zip(got, expected, strict=True)
    return max(((g - e).norm() / e.norm()).item() for g, e in pairs)


def test_adapters_add_nothing_at_initialisation(tiny_model: PreTrainedModel, token_ids: Tensor):
    expected = tiny_model(token_ids).logits
    insert_adapters(tiny_model, SHAPES, ALL_PROJECTIONS)
    assert torch.equal(tiny_model(token_ids).logits, expected)


def test_an_adapter_merged_into_the_weights_computes_the_same(
    tiny_model_directory: Path, token_ids: Tensor
):
    model = load_model(tiny_model_directory, torch.float64)
    merged = [copy.deepcopy(model) for _ in SHAPES]
    layers = insert(model, SHAPES)
    for arm, alone in enumerate(merged):
        for layer in layers:
            rows = slice(layer.segments[arm].start, layer.segments[arm].stop)
            weight = alone.get_submodule(layer.name).get_parameter("weight")
            lora_A, lora_B = layer.lora_A[rows].detach(), layer.lora_B[rows].detach()
            product = torch.einsum("ri,ro->oi", lora_A.double(), lora_B.double())
            weight.data += SHAPES[arm].scale * product
    together = model(token_ids).logits.chunk(3)
    alone = [m(part).logits for m, part in zip(merged, token_ids.chunk(3), strict=True)]
    base = load_model(tiny_model_directory, torch.float64)(token_ids).logits.chunk(3)
    for got, expected, without in zip(together, alone, base, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
        assert (got - without).abs().max() > 0.1


def test_only_the_factors_receive_a_gradient(tiny_model: PreTrainedModel, token_ids: Tensor):
    layers = insert(tiny_model, SHAPES)
    by_arm = collect_gradients(tiny_model, layers, token_ids)
    assert [len(gradients) for gradients in by_arm] == [2 * 7 * 2] * 3  # in two layers
    assert all(parameter.grad is None for parameter in tiny_model.parameters())


@pytest.mark.parametrize(("scaling", "exponent"), [("alpha/rank", 1.0), ("alpha/sqrt(rank)", 0.5)])
@pytest.mark.parametrize("rank", [1, 2, 3, 16, 512])
def test_the_scale_follows_the_chosen_rule_at_every_rank(
    scaling: Scaling, exponent: float, rank: int
):
    arm = Arm("lora", "task", rank=rank, alpha=8.0, scaling=scaling)
    assert arm.scale is not None
    linear = nn.Linear(3, 2, bias=False)
    layer = LockStepLinear(linear, "q_proj", [AdapterShape(rank, arm.scale)])
    layer.lora_A.fill_(1)
    layer.lora_B.fill_(1)
    x = torch.tensor([[0.5, 1.0, 1.5]])
    added = layer(x) - linear(x)
    # Factors of ones sum the input (to 3) once for each unit of rank.
    expected = 8.0 / rank**exponent * rank * 3.0
    torch.testing.assert_close(added, torch.full((1, 2), expected), rtol=1e-5, atol=1e-5)


def test_gradients_equal_those_of_a_plain_loop_in_double_precision(
    tiny_model_directory: Path, token_ids: Tensor
):
    model = load_model(tiny_model_directory)
    layers = insert(model, SHAPES)
    got = collect_gradients(model, layers, token_ids)
    for arm, part in enumerate(token_ids.chunk(3)):
        plain = load_model(tiny_model_directory, torch.float64)
        factors = [add_plainly(plain, layer, arm) for layer in layers]
        sum_losses(plain, part).backward()
        expected = [factor.grad for pair in factors for factor in pair]
        assert relative_error(got[arm], [g for g in expected if g is not None]) < 1e-5


def add_plainly(model: PreTrainedModel, layer: LockStepLinear, arm: int) -> tuple[Tensor, Tensor]:
    """Add one arm's update to a base layer by a hook, leaving the gradient to autograd."""
    segment = layer.segments[arm]
    a, b = (
        flat.detach()[segment.start : segment.stop].double().requires_grad_()
        for flat in (layer.lora_A, layer.lora_B)
    )
    model.get_submodule(layer.name).register_forward_hook(
        lambda _, inputs, output: output + segment.scale * inputs[0] @ a.T @ b
    )
    return a, b


def test_an_arm_alone_has_the_gradients_it_has_in_a_group(
    tiny_model_directory: Path, token_ids: Tensor
):
    model = load_model(tiny_model_directory)
    together = collect_gradients(model, insert(model, SHAPES), token_ids)
    for shape, part, got in zip(SHAPES, token_ids.chunk(3), together, strict=True):
        alone = load_model(tiny_model_directory)
        expected = collect_gradients(alone, insert(alone, [shape]), part)
        assert relative_error(got, expected[0]) < 1e-5


@pytest.mark.parametrize("change", ["other tokens", "NaN", "infinite"])
def test_a_neighbour_changes_no_bit_of_an_arms_gradients(
    tiny_model_directory: Path, token_ids: Tensor, change: str
):
    def run(disturb: bool) -> list[list[Tensor]]:
        model, tokens = load_model(tiny_model_directory), token_ids.clone()
        layers = insert(model, SHAPES)
        rows = slice(layers[0].segments[1].start, layers[0].segments[1].stop)
        if disturb and change == "other tokens":
            tokens[2:4] = tokens[2:4].flip(1)
        elif disturb:
            layers[0].lora_B.data[rows] = math.nan if change == "NaN" else math.inf
        return collect_gradients(model, layers, tokens)

    calm, disturbed = run(disturb=False), run(disturb=True)
    for arm in (0, 2):
        assert all(torch.equal(a, b) for a, b in zip(calm[arm], disturbed[arm], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(calm[1], disturbed[1], strict=True))


def test_arms_that_pass_one_after_another_have_the_gradients_they_have_together(
    tiny_model_directory: Path, token_ids: Tensor
):
    model = load_model(tiny_model_directory)
    together = collect_gradients(model, insert(model, SHAPES), token_ids)
    model = load_model(tiny_model_directory)
    layers = insert(model, SHAPES)
    for arms in (range(2), range(2, 3)):
        for layer in layers:
            layer.select(arms)
        rows = token_ids[2 * arms.start : 2 * arms.stop]
        sum_losses(model, rows).backward()
    for arm, expected in enumerate(together):
        got = [f.grad for layer in layers for f in layer.factors[arm] if f.grad is not None]
        assert relative_error(got, expected) < 1e-5


def test_an_arm_of_rank_zero_is_the_bare_base(tiny_model_directory: Path, token_ids: Tensor):
    expected = load_model(tiny_model_directory)(token_ids).logits[:3]
    model = load_model(tiny_model_directory)
    layers = insert(model, [AdapterShape(0), AdapterShape(4, 2.0)])
    assert torch.equal(model(token_ids).logits[:3], expected)
    bare, other = collect_gradients(model, layers, token_ids)
    assert all(gradient.numel() == 0 for gradient in bare)
    assert all(gradient.isfinite().all() and gradient.any() for gradient in other)


def test_the_first_factor_of_a_rank_is_the_first_rows_of_a_larger_one():
    largest = draw_first_factor(AdapterShape(512, seed=7), "layers.0.q_proj", 24)
    for rank in (1, 2, 3, 64, 511):
        smaller = draw_first_factor(AdapterShape(rank, seed=7), "layers.0.q_proj", 24)
        assert torch.equal(smaller, largest[:rank])


def test_seeds_and_modules_have_first_factors_of_their_own():
    draws = [
        draw_first_factor(AdapterShape(2, seed=seed), module, 24)
        for seed in (0, 1)
        for module in ("layers.0.q_proj", "layers.1.q_proj")
    ]
    assert len({tuple(draw.flatten().tolist()) for draw in draws}) == 4


def test_neither_neighbours_nor_scale_change_an_arms_first_factor(tiny_model: PreTrainedModel):
    linear = tiny_model.get_submodule("model.layers.0.self_attn.q_proj")
    assert isinstance(linear, nn.Linear)
    alone = LockStepLinear(linear, "q", [AdapterShape(4, 1.0, 6)])
    beside = LockStepLinear(linear, "q", [AdapterShape(9, 1.0, 5), AdapterShape(4, 3.0, 6)])
    assert torch.equal(beside.lora_A[beside.segments[1].rows], alone.lora_A[:4])


@pytest.mark.parametrize("d_in", [16, 300])
def test_the_first_factor_is_distributed_as_pefts(d_in: int):
    ours = draw_first_factor(AdapterShape(64, seed=3), "q_proj", d_in)
    theirs = torch.empty(64, d_in)
    nn.init.kaiming_uniform_(theirs, a=math.sqrt(5), generator=torch.Generator().manual_seed(3))
    bound = theirs.abs().max().item()
    assert ours.abs().max().item() == pytest.approx(bound, rel=5e-3)
    test = kstest(ours.flatten().numpy(), theirs.flatten().numpy())
    assert test.pvalue > 0.05
    narrower = kstest(0.9 * ours.flatten().numpy(), theirs.flatten().numpy())
    assert narrower.pvalue < 0.05  # the test would see another bound
