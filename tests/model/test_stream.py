"""On a linear toy ablation and steering do what algebra says; a real model is read right."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from rankshift.model.loading import load_model
from rankshift.model.stream import ablate, add, change_stream, clamp, watch_stream

WIDTH = 6


class Layer(GradientCheckpointingLayer):
    """x + x W^T, as a tensor or as the first of a tuple."""

    def __init__(self, weight: Tensor, in_tuple: bool) -> None:
        super().__init__()
        self.weight, self.in_tuple = nn.Parameter(weight), in_tuple

    def forward(self, x: Tensor) -> Any:
        """Give the states after it."""
        out = x + x @ self.weight.t()
        return (out, "cache") if self.in_tuple else out


class Toy(nn.Module):
    """Three linear layers."""

    def __init__(self, in_tuple: bool) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        weights = torch.randn(3, WIDTH, WIDTH, generator=generator, dtype=torch.float64)
        self.layers = nn.ModuleList(Layer(0.3 * weight, in_tuple) for weight in weights)

    def forward(self, x: Tensor) -> Tensor:
        """Run all layers."""
        for layer in self.layers:
            x = layer(x)
            x = x[0] if isinstance(x, tuple) else x
        return x


@pytest.fixture(params=[False, True], ids=["tensor", "tuple"])
def toy(request) -> Any:
    return Toy(request.param)


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def matrices(toy: Toy) -> list[Tensor]:
    eye = torch.eye(WIDTH, dtype=torch.float64)
    return [eye + layer.weight.detach() for layer in toy.layers]  # pyright: ignore


def test_the_states_after_each_layer_are_the_products_so_far(toy):
    x = draw(2, 3, WIDTH)
    with watch_stream(toy) as seen, torch.no_grad():
        toy(x)
    first, second, third = matrices(toy)
    expected = [x @ first.t(), x @ first.t() @ second.t(), x @ first.t() @ second.t() @ third.t()]
    assert len(seen) == 3
    for found, own in zip(seen, expected, strict=True):
        torch.testing.assert_close(found, own)


def test_a_vector_added_after_a_layer_goes_through_the_layers_behind_it(toy):
    x, vector = draw(2, 3, WIDTH), draw(WIDTH)
    with torch.no_grad():
        plain = toy(x)
        with change_stream(toy, {0: add(vector)}):
            steered = toy(x)
    _, second, third = matrices(toy)
    torch.testing.assert_close(steered, plain + vector @ second.t() @ third.t())
    with torch.no_grad():
        torch.testing.assert_close(toy(x), plain)  # nothing stays behind


def test_an_ablated_direction_is_gone_and_all_across_it_stays(toy):
    x, direction = draw(2, 3, WIDTH), 7 * draw(WIDTH)
    unit = direction / direction.norm()
    outside = torch.eye(WIDTH, dtype=torch.float64) - torch.outer(unit, unit)
    with torch.no_grad(), change_stream(toy, {n: ablate(direction) for n in range(3)}):
        found = toy(x)
    expected = x
    for matrix in matrices(toy):
        expected = expected @ matrix.t() @ outside
    torch.testing.assert_close(found, expected)
    assert (found @ unit).abs().max() < 1e-12


def test_a_clamped_direction_is_at_its_height_and_all_across_it_stays(toy):
    x, direction = draw(2, 3, WIDTH), 7 * draw(WIDTH)
    unit = direction / direction.norm()
    outside = torch.eye(WIDTH, dtype=torch.float64) - torch.outer(unit, unit)
    with torch.no_grad(), change_stream(toy, {n: clamp(direction, 0.5) for n in range(3)}):
        found = toy(x)
    expected = x
    for matrix in matrices(toy):
        expected = expected @ matrix.t() @ outside + 0.5 * unit
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found @ unit, torch.full((2, 3), 0.5, dtype=torch.float64))
    # At height 0 it is directional ablation.
    torch.testing.assert_close(clamp(direction, 0.0)(x), ablate(direction)(x))


def test_of_a_real_model_the_states_are_those_that_transformers_gives(tiny_model_directory: Path):
    model = load_model(tiny_model_directory)
    ids = torch.arange(12)[None]
    with watch_stream(model) as seen, torch.no_grad():
        given = model(ids, output_hidden_states=True).hidden_states
    # The first are embeddings; the last has gone through the final norm.
    for found, own in zip(seen[:-1], given[1:-1], strict=True):
        torch.testing.assert_close(found, own)
    torch.testing.assert_close(model.get_decoder().norm(seen[-1]), given[-1])  # pyright: ignore
