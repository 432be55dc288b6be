import numpy as np
import pytest
import torch

from rankshift.data.batches import lay_rows
from rankshift.defence import Defence
from rankshift.model.loading import load_model
from rankshift.study import Training
from rankshift.train.defences.guard import Course, Guard, Means
from rankshift.train.defences.guards import Guards
from rankshift.train.defences.steering import Steering
from rankshift.train.optimizer import ArmwiseSGD
from rankshift.train.step import Batch, Moves, StepResult, training_step
from rankshift.train.trainee import Trainee, prepare_adapters

COURSE = Course(Training(steps=1, checkpoints=(1,)), 0, 0)
DIRECTIONS = np.random.default_rng(3).normal(size=(2, 16)).astype(np.float32)


def step(trainee: Trainee, rows: list, guards: Guards | None, packed: bool) -> StepResult:
    """Take a step that moves nothing, and keep the gradients' norms."""
    window = [Batch(range(2), lay_rows([rows, rows], 0, packed))]
    still = Moves(torch.zeros(2, dtype=torch.double), torch.ones(2, dtype=torch.bool), None)
    return training_step(trainee, window, ArmwiseSGD(trainee.tensors, 0.0), still, guards)


@pytest.mark.parametrize("packed", [True, False])
def test_a_steered_arm_learns_as_in_a_model_whose_block_writes_the_vector_itself(
    tiny_model_directory, make_arm, make_rows, packed: bool
):
    """A bias of the block's last layer adds the same to every token's state."""
    rows, arms = make_rows(4), [make_arm(3), make_arm(3)]
    steering = Steering(
        Defence("steering", 0.5, contrasts="x", layer=0), Means((), DIRECTIONS), COURSE
    )
    plain, biased = load_model(tiny_model_directory), load_model(tiny_model_directory)
    writer = biased.model.layers[0].mlp.down_proj
    writer.bias = torch.nn.Parameter(0.5 * torch.from_numpy(DIRECTIONS[0]))
    trainee = prepare_adapters(plain, arms, "")
    unsteered = step(trainee, rows, None, packed)
    steered = step(trainee, rows, Guards([Guard(), steering]), packed)
    expected = step(prepare_adapters(biased, arms, ""), rows, None, packed)
    assert steered.losses[0] == unsteered.losses[0]  # bit for bit: the neighbour is not touched
    assert steered.grad_norms[0] == unsteered.grad_norms[0]
    torch.testing.assert_close(steered.losses[1], expected.losses[1], rtol=1e-5, atol=0)
    torch.testing.assert_close(steered.grad_norms[1], expected.grad_norms[1], rtol=1e-4, atol=0)
    assert abs(steered.losses[1] - unsteered.losses[1]) > 1e-3


def test_without_a_layer_the_middle_one_is_steered():
    directions = np.ones((28, 4), dtype=np.float32)
    guard = Steering(Defence("steering", 2.0, contrasts="x"), Means((), directions), COURSE)
    assert {layer: shift.tolist() for layer, shift in guard.list_shifts().items()} == {
        14: [2.0] * 4
    }
