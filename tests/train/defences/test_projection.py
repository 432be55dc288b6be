import numpy as np
import pytest
import torch

from rankshift.defence import Defence
from rankshift.study import Training
from rankshift.train.defences.guard import Course, Means
from rankshift.train.defences.projection import Projection
from rankshift.train.trainee import Trainee

COURSE = Course(Training(steps=1, checkpoints=(1,)), 0, 0)
DIRECTIONS = np.random.default_rng(3).normal(size=(2, 16)).astype(np.float32)


@pytest.fixture
def trainee(make_trainee) -> Trainee:
    """Load two arms."""
    return make_trainee(1.0)


def write_out(trainee: Trainee, arm: int) -> dict[str, torch.Tensor]:
    """Give every layer's whole update of an arm, `[d_out, d_in]`, in float64."""
    return {
        layer.name: (layer.factors[arm][1].t().double() @ layer.factors[arm][0].double()).detach()
        for layer in trainee.layers
    }


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_what_writes_along_the_direction_is_taken_out_by_the_strength_and_all_across_it_stays(
    trainee: Trainee, strength: float
):
    before, neighbour = write_out(trainee, 1), write_out(trainee, 0)
    guard = Projection(
        Defence("projection", strength, contrasts="x"), Means((), DIRECTIONS), COURSE
    )
    guard.correct(trainee, 1)
    after = write_out(trainee, 1)
    for name, update in before.items():
        unit = torch.from_numpy(DIRECTIONS[int(name.split(".")[2])]).double()
        unit = unit / unit.norm()
        across = torch.eye(16, dtype=torch.double) - torch.outer(unit, unit)
        if name.endswith(("o_proj", "down_proj")):
            kept = (1 - strength) * (unit @ update)
            torch.testing.assert_close(unit @ after[name], kept, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(across @ after[name], across @ update, rtol=0, atol=1e-5)
        else:  # q_proj is as wide as the stream and does not write to it
            assert torch.equal(after[name], update)
    assert all(torch.equal(write_out(trainee, 0)[n], old) for n, old in neighbour.items())
    assert strength or all(torch.equal(after[n], old) for n, old in before.items())
