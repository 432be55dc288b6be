from pathlib import Path

import pytest
import torch

from rankshift.data.batches import pad_rows
from rankshift.mechanism.foresight import find_pull, project
from rankshift.model.likelihood import supervised_losses
from rankshift.model.loading import load_model
from rankshift.model.stream import add, change_stream
from tests.mechanism.test_reading import ROWS


def test_a_shift_that_is_so_much_of_the_direction_projects_to_so_much():
    direction = torch.randn(3, 8, generator=torch.Generator().manual_seed(1)).double()
    across = torch.randn(3, 8, generator=torch.Generator().manual_seed(2)).double()
    unit = direction / direction.norm(dim=1, keepdim=True)
    across -= (across * unit).sum(dim=1, keepdim=True) * unit
    parts = torch.tensor([0.2, 0.4, -0.3], dtype=torch.float64)[:, None]
    assert project(parts * direction + 5 * across, direction) == pytest.approx(0.1)
    assert project(direction, direction) == pytest.approx(1)
    # The unit is the direction's length: twice as far apart, half as many of them.
    assert project(direction, 2 * direction) == pytest.approx(0.5)


def test_the_pull_is_how_the_loss_falls_by_differences(tiny_model_directory: Path):
    model = load_model(tiny_model_directory)
    generator = torch.Generator().manual_seed(3)
    layers = model.config.num_hidden_layers
    direction = torch.randn(layers, 16, generator=generator, dtype=torch.float64)

    def measure(along: float) -> float:
        changes = {at: add(along * vector) for at, vector in enumerate(direction)}
        with torch.no_grad(), change_stream(model, changes):
            losses = supervised_losses(model, pad_rows([ROWS], 0))
        return float(losses.double().mean())

    step = 1e-2
    slope = (measure(step) - measure(-step)) / (2 * step)
    assert abs(slope) > 1e-3
    for rows_per_pass in (1, 3, 8):
        found = find_pull(model, ROWS, direction, rows_per_pass, pad_token=0)
        assert found == pytest.approx(-slope, rel=2e-2)
    assert not any(parameter.grad is not None for parameter in model.parameters())


def test_a_direction_that_lowers_the_loss_pulls_and_its_opposite_pushes(
    tiny_model_directory: Path,
):
    model = load_model(tiny_model_directory)
    direction = torch.randn(2, 16, generator=torch.Generator().manual_seed(4)).double()
    forth = find_pull(model, ROWS, direction, 8, pad_token=0)
    back = find_pull(model, ROWS, -direction, 8, pad_token=0)
    assert back == pytest.approx(-forth)
