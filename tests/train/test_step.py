import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.arms import Arm
from rankshift.data.batches import lay_rows
from rankshift.data.rendering import Rendered
from rankshift.model.loading import load_model
from rankshift.train.optimizer import ArmwiseAdamW
from rankshift.train.step import Batch, Moves, StepResult, training_step
from rankshift.train.trainee import Trainee, prepare_adapters
from tests.padding import PAD, pad_plainly

RATES = torch.tensor([1e-2, 1e-2, 1e-2], dtype=torch.float64)


def prepare(model: PreTrainedModel, arms: list[Arm]) -> tuple[Trainee, ArmwiseAdamW]:
    """Give adapters that already do something, and their optimizer."""
    trainee = prepare_adapters(model, arms, "base")
    generator = torch.Generator().manual_seed(5)
    for own in trainee.tensors:
        for factor_B in own[1::2]:
            factor_B.data.normal_(std=0.05, generator=generator)
    return trainee, ArmwiseAdamW(trainee.tensors, 0.0)


def make_window(rows: list[list[Rendered]], num_batches: int, packed: bool = True) -> list[Batch]:
    """Divide every arm's rows into micro-batches."""
    size = len(rows[0]) // num_batches
    starts = range(0, len(rows[0]), size)
    parts = [[own[start : start + size] for own in rows] for start in starts]
    return [Batch(range(len(rows)), lay_rows(part, PAD, packed)) for part in parts]


def take_step(
    trainee: Trainee, optimizer: ArmwiseAdamW, window: list[Batch], clip: float | None = 1.0
) -> StepResult:
    """Take one step with every arm active."""
    active = torch.ones(3, dtype=torch.bool)
    return training_step(trainee, window, optimizer, Moves(RATES, active, clip))


@pytest.fixture
def arms(make_arm) -> list[Arm]:
    """Make three arms of other ranks."""
    return [make_arm(rank) for rank in (1, 6, 3)]


@pytest.fixture
def rows(make_rows) -> list[list[Rendered]]:
    """Make 4 rows for each of three arms, with other numbers of supervised tokens."""
    return [make_rows(4, seed=seed) for seed in (0, 1, 3)]


@pytest.mark.parametrize(("num_batches", "packed"), [(2, True), (4, True), (2, False), (1, True)])
def test_gradients_are_those_of_one_large_batch_however_its_rows_are_divided_and_laid_out(
    tiny_model_directory: Path,
    arms: list[Arm],
    rows: list[list[Rendered]],
    num_batches: int,
    packed: bool,
):
    counts = {sum(row.loss_mask) for own in rows for row in own}
    assert len(counts) > 2  # a mean of micro-batch means would not be the mean over tokens
    whole, parts = (prepare(load_model(tiny_model_directory), arms) for _ in range(2))
    expected = take_step(*whole, make_window(rows, 1, packed=False))
    got = take_step(*parts, make_window(rows, num_batches, packed))
    assert got.supervised_tokens.tolist() == expected.supervised_tokens.tolist()
    torch.testing.assert_close(got.losses, expected.losses, rtol=1e-6, atol=0)
    torch.testing.assert_close(got.grad_norms, expected.grad_norms, rtol=1e-5, atol=0)
    # The first moment after one step is a tenth of the gradient.
    for one, other in zip(flatten(parts[1].first), flatten(whole[1].first), strict=True):
        assert (one - other).norm() < 1e-5 * other.norm()


def flatten(by_arm: list[list[Tensor]]) -> list[Tensor]:
    """List the tensors of all arms."""
    return [tensor for own in by_arm for tensor in own]


def test_each_arms_loss_is_the_mean_over_its_own_supervised_tokens(
    tiny_model: PreTrainedModel, arms: list[Arm], rows: list[list[Rendered]]
):
    expected = []
    for own in rows:
        ids, labels = pad_plainly(own)
        expected.append(tiny_model(ids, labels=labels).loss.double())
    trainee = prepare_adapters(tiny_model, arms, "base")  # adds nothing yet
    optimizer = ArmwiseAdamW(trainee.tensors, 0.0)
    result = take_step(trainee, optimizer, make_window(rows, 2))
    torch.testing.assert_close(result.losses, torch.stack(expected), rtol=1e-6, atol=0)
    tokens = [sum(sum(row.loss_mask) for row in own) for own in rows]
    assert result.supervised_tokens.tolist() == tokens
    assert len(set(tokens)) == 3


def test_the_norm_is_recorded_before_clipping(
    tiny_model_directory: Path, arms: list[Arm], rows: list[list[Rendered]]
):
    free, clipped = (prepare(load_model(tiny_model_directory), arms) for _ in range(2))
    expected = take_step(*free, make_window(rows, 1), clip=None)
    got = take_step(*clipped, make_window(rows, 1), clip=1e-3)
    assert torch.equal(got.grad_norms, expected.grad_norms)
    for own in clipped[1].first:
        moments = [moment.double().flatten() for moment in own]
        assert torch.cat(moments).norm().item() == pytest.approx(0.1 * 1e-3, rel=1e-2)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_a_loss_that_is_not_finite_stops_its_own_arm_before_the_update(
    tiny_model_directory: Path, arms: list[Arm], rows: list[list[Rendered]], value: float
):
    calm, broken = (prepare(load_model(tiny_model_directory), arms) for _ in range(2))
    broken[0].tensors[1][1].data.fill_(value)
    before = [tensor.detach().clone() for tensor in broken[0].tensors[1]]
    expected = take_step(*calm, make_window(rows, 2))
    result = take_step(*broken, make_window(rows, 2))
    assert result.finite.tolist() == [True, False, True]
    assert expected.finite.all()
    assert all(map(equal_or_nan, broken[0].tensors[1], before))
    for arm in (0, 2):
        assert all(map(torch.equal, broken[0].tensors[arm], calm[0].tensors[arm]))
        assert result.losses[arm] == expected.losses[arm]
        assert result.grad_norms[arm] == expected.grad_norms[arm]


def equal_or_nan(a: Tensor, b: Tensor) -> bool:
    """Say whether two tensors are equal, NaN equal to itself."""
    return torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0))


def test_an_arm_that_was_stopped_before_takes_no_step(
    tiny_model: PreTrainedModel, arms: list[Arm], rows: list[list[Rendered]]
):
    trainee, optimizer = prepare(tiny_model, arms)
    before = [[tensor.detach().clone() for tensor in own] for own in trainee.tensors]
    active = torch.tensor([True, False, True])
    training_step(trainee, make_window(rows, 2), optimizer, Moves(RATES, active, 1.0))
    for arm, moves in enumerate([True, False, True]):
        assert all(
            torch.equal(was, now) != moves
            for was, now in zip(before[arm], trainee.tensors[arm], strict=True)
        )
