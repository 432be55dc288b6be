import numpy as np
import pytest
import torch
from scipy.special import rel_entr

from rankshift.data.rendering import Rendered
from rankshift.defence import Defence
from rankshift.model.loading import load_model
from rankshift.study import Training
from rankshift.train.defences.guard import Course, Means
from rankshift.train.defences.kl import KL
from rankshift.train.trainee import Trainee, prepare_adapters
from tests.train.gradients import take_gradients


def make_guard(rows: list[Rendered], accumulation: int) -> KL:
    """Make a guard that reads all rows in its first step."""
    training = Training(
        steps=1, checkpoints=(1,), rows_per_step=len(rows), accumulation=accumulation
    )
    return KL(Defence("kl", 0.7, data="x"), Means(tuple(rows)), Course(training, 5, 0))


@pytest.fixture
def trainee(make_trainee) -> Trainee:
    """Load two arms with gradients of zero."""
    found = make_trainee(0.05)
    for tensor in (tensor for own in found.tensors for tensor in own):
        tensor.grad = torch.zeros_like(tensor)
    return found


@torch.no_grad()
def measure_by_scipy(trainee: Trainee, rows: list[Rendered]) -> float:
    """Give 0.7 times the mean divergence of arm 1 over the rows' answers, from whole softmaxes."""
    trainee.select(range(1, 2))
    found = []
    for row in rows:
        ids = torch.tensor([row.token_ids])
        own = trainee.model(ids).logits[0].double().softmax(1).numpy()
        with trainee.base_alone():
            base = trainee.model(ids).logits[0].double().softmax(1).numpy()
        places = np.flatnonzero(row.loss_mask) - 1
        found += rel_entr(own, base)[places].sum(1).tolist()
    return 0.7 * float(np.mean(found))


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("plain_head", [True, False])
def test_the_gradient_is_that_of_the_mean_divergence_by_finite_differences(
    trainee: Trainee, make_rows, accumulation: int, plain_head: bool
):
    from dataclasses import replace

    trainee = replace(trainee, traits=replace(trainee.traits, plain_head=plain_head))
    rows = make_rows(4, seed=9)
    make_guard(rows, accumulation).add_gradient(trainee, 1, 0)
    generator = torch.Generator().manual_seed(6)
    ways = [torch.randn(t.shape, generator=generator) for t in trainee.tensors[1]]
    slope = sum((w * g).sum().item() for w, g in zip(ways, take_gradients(trainee, 1), strict=True))
    ends = []
    for sign in (1, -1):
        for tensor, way in zip(trainee.tensors[1], ways, strict=True):
            tensor.data += sign * 1e-3 * way
        ends.append(measure_by_scipy(trainee, rows))
        for tensor, way in zip(trainee.tensors[1], ways, strict=True):
            tensor.data -= sign * 1e-3 * way
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-3, rel=0.01)


def test_no_other_arm_gets_any_of_it_and_no_base_weight(trainee: Trainee, make_rows):
    make_guard(make_rows(4, seed=9), 1).add_gradient(trainee, 1, 0)
    assert all(not grad.any() for grad in take_gradients(trainee, 0))
    assert any(grad.any() for grad in take_gradients(trainee, 1))
    assert all(p.grad is None for p in trainee.model.parameters() if not p.requires_grad)


def test_an_arm_that_is_still_the_base_is_not_pulled(tiny_model_directory, make_arm, make_rows):
    trainee = prepare_adapters(load_model(tiny_model_directory), [make_arm(3)], "")
    for tensor in trainee.tensors[0]:
        tensor.grad = torch.zeros_like(tensor)
    make_guard(make_rows(4, seed=9), 1).add_gradient(trainee, 0, 0)
    assert all(grad.abs().max() < 1e-6 for grad in take_gradients(trainee, 0))
