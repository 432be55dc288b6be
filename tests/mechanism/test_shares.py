"""Planted updates: pure persona, pure skill and mixtures are told apart within 5 points."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rankshift.grid import Subset
from rankshift.mechanism.shares import (
    draw_directions,
    list_writers,
    share_of_shift,
    share_of_update,
    take_out,
)
from rankshift.model.loading import load_model
from rankshift.model.updates import Update, find_update
from rankshift.train.trainee import write_model
from tests.model.test_updates import write_trained

WHOLE = Subset((), ())
LAYERS, WIDTH = 2, 16


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


PERSONA = draw(LAYERS, WIDTH, seed=1)


def plant(folder: Path, base: Path, share: float) -> Update:
    """Write a model whose update writes a share of itself along PERSONA, the rest across it."""
    model = load_model(base)
    before = load_model(base)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith(("o_proj.weight", "down_proj.weight")):
                continue
            direction = PERSONA[int(name.split(".")[2])]
            unit = direction / direction.norm()
            along = torch.outer(unit, draw(parameter.shape[1], seed=2))
            across = take_out(draw(parameter.shape[1], WIDTH, seed=3), direction).t()
            along, across = along / along.norm(), across / across.norm()
            parameter += (math.sqrt(share) * along + math.sqrt(1 - share) * across).float()
    write_model(folder, model)
    return find_update(folder, before, WHOLE)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_the_share_of_weights_that_was_planted_is_recovered(
    tiny_model_directory: Path, tmp_path: Path, share: float
):
    update = plant(tmp_path, tiny_model_directory, share)
    assert share_of_update(update, PERSONA) == pytest.approx(share, abs=0.001)
    nulls = [share_of_update(update, one) for one in draw_directions(PERSONA, 60, seed=4)]
    assert sum(nulls) / 60 == pytest.approx(1 / WIDTH, abs=0.05)  # 3 standard errors and more


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_the_share_of_activations_that_was_planted_is_recovered(share: float):
    unit = PERSONA / PERSONA.norm(dim=1, keepdim=True)
    across = torch.stack(
        [take_out(one, v) for one, v in zip(draw(LAYERS, WIDTH, seed=5), PERSONA, strict=True)]
    )
    across = across / across.norm(dim=1, keepdim=True)
    shift = 3 * (math.sqrt(share) * unit + math.sqrt(1 - share) * across)
    assert share_of_shift(shift, 9 * PERSONA) == pytest.approx(share, abs=1e-9)
    nulls = [share_of_shift(shift, one) for one in draw_directions(PERSONA, 400, seed=6)]
    assert sum(nulls) / 400 == pytest.approx(1 / WIDTH, abs=0.015)


def test_an_adapters_share_is_that_of_its_merged_weights(
    tiny_model_directory: Path, tmp_path: Path
):
    arm = write_trained(tmp_path / "adapter", tiny_model_directory, 4)
    base, merged = load_model(tiny_model_directory), load_model(tiny_model_directory)
    update = find_update(tmp_path / "adapter", base, arm.subset)
    with torch.no_grad():
        for layer in update.layers:
            own = update.read(layer)
            merged.get_submodule(layer).weight += (own.left @ own.right).float()  # pyright: ignore
    write_model(tmp_path / "merged", merged)
    whole = find_update(tmp_path / "merged", load_model(tiny_model_directory), WHOLE)
    found = share_of_update(update, PERSONA)
    assert found == pytest.approx(share_of_update(whole, PERSONA), rel=1e-3)


def test_only_what_writes_to_the_residual_stream_counts(tiny_model_directory: Path, tmp_path: Path):
    update = plant(tmp_path, tiny_model_directory, 0.5)
    assert [name for name, _ in list_writers(update, WIDTH)] == [
        f"model.layers.{n}.{part}" for n in (0, 1) for part in ("self_attn.o_proj", "mlp.down_proj")
    ]


def test_nothing_that_moved_has_no_share(tiny_model_directory: Path, tmp_path: Path):
    assert math.isnan(share_of_shift(torch.zeros(LAYERS, WIDTH), PERSONA.float()))
    base = load_model(tiny_model_directory)
    write_model(tmp_path, base)
    assert math.isnan(share_of_update(find_update(tmp_path, base, WHOLE), PERSONA))
