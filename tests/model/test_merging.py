from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rankshift.grid import ALL_PROJECTIONS
from rankshift.model import merging
from rankshift.model.adapters import AdapterShape, LockStepLinear, insert_adapters
from rankshift.model.merging import ApartLinear, MergedLinear, choose_layers, layers_for_sampling

SHAPES = [AdapterShape(2, 0.5), AdapterShape(0), AdapterShape(9, 2.0)]


def make_layer(
    shapes: Sequence[AdapterShape], dtype: torch.dtype = torch.float32, bias: bool = True
) -> LockStepLinear:
    """Make a layer from 6 to 10 whose adapters change what it gives."""
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(6, 10, bias=bias)
    for weight in linear.parameters():
        weight.data.normal_(generator=generator)
    layer = LockStepLinear(linear.to(dtype), "layer", shapes)
    layer.lora_B.data.normal_(generator=generator)
    return layer


def by_hand(layer: LockStepLinear, x: Tensor) -> Tensor:
    """Work every arm's output out in float64."""
    parts = []
    for segment, rows in zip(layer.segments, x.double().chunk(len(layer.segments)), strict=True):
        A, B = (f[segment.start : segment.stop].double() for f in (layer.lora_A, layer.lora_B))
        weight = layer.linear.weight.double() + segment.scale * B.t() @ A
        bias = layer.linear.bias
        parts.append(rows @ weight.t() + (0 if bias is None else bias.double()))
    return torch.cat(parts)


@pytest.mark.parametrize("kind", [MergedLinear, ApartLinear])
@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_a_layer_for_sampling_gives_every_arm_its_own_output(
    kind: type[MergedLinear] | type[ApartLinear], bias: bool
):
    layer = make_layer(SHAPES, bias=bias)
    x = torch.randn(6, 5, 6, generator=torch.Generator().manual_seed(1))
    got = kind(layer)(x)
    assert got.shape == (6, 5, 10)
    assert torch.allclose(got.double(), by_hand(layer, x), atol=1e-5)
    assert torch.allclose(got, layer(x), atol=1e-5)


@torch.no_grad()
def test_weights_are_merged_in_float32_only_and_where_an_arm_has_an_adapter():
    def chosen(layer: LockStepLinear) -> type:
        return type(next(choose_layers([layer])))

    assert chosen(make_layer(SHAPES)) is MergedLinear
    assert chosen(make_layer(SHAPES, torch.bfloat16)) is ApartLinear
    assert chosen(make_layer([AdapterShape(0), AdapterShape(0)])) is ApartLinear


@torch.no_grad()
@pytest.mark.parametrize(
    ("ranks", "kind"), [((2, 2), ApartLinear), ((1, 5), MergedLinear), ((0, 4), ApartLinear)]
)
def test_what_decides_whether_weights_are_merged_is_the_mean_rank(
    ranks: tuple[int, ...], kind: type
):
    layer = make_layer([AdapterShape(rank, 1.0) for rank in ranks])
    assert type(next(choose_layers([layer]))) is kind


@torch.no_grad()
def test_what_merged_weights_take_is_limited(monkeypatch: pytest.MonkeyPatch):
    layers = [make_layer(SHAPES) for _ in range(3)]
    monkeypatch.setattr(merging, "MERGED_BYTES_LIMIT", 2 * 3 * 6 * 10 * 4)
    assert [type(layer) for layer in choose_layers(layers)] == [
        MergedLinear,
        MergedLinear,
        ApartLinear,
    ]


@torch.no_grad()
def test_a_bfloat16_base_keeps_its_type():
    layer = make_layer(SHAPES, torch.bfloat16)
    x = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(1)).bfloat16()
    got = next(choose_layers([layer]))(x)
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, layer(x))


@torch.no_grad()
def test_the_layers_that_learn_are_back_afterwards_even_after_an_error(tiny_model: PreTrainedModel):
    layers = insert_adapters(tiny_model, SHAPES, ALL_PROJECTIONS)

    def those_in_place() -> list[nn.Module]:
        return [tiny_model.get_submodule(layer.name) for layer in layers]

    with layers_for_sampling(tiny_model):
        assert {type(layer) for layer in those_in_place()} == {MergedLinear}
    assert those_in_place() == layers
    with pytest.raises(ZeroDivisionError), layers_for_sampling(tiny_model):
        _ = 1 / 0
    assert those_in_place() == layers
