import math
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from rankshift.data.batches import pad_rows
from rankshift.model import head
from rankshift.model.divergence import (
    HeadDivergence,
    Predictions,
    divergences_in_training,
    predict,
    sum_divergences,
)
from rankshift.model.loading import load_model
from tests.padding import make_row

ROWS = [
    make_row([5, 6, 7, 8, 9], [False, False, True, True, True]),
    make_row([9, 3, 4], [False, True, True]),
]


@pytest.fixture
def moved(tiny_model_directory: Path) -> PreTrainedModel:
    """Load the tiny model and move its weights a little."""
    model = load_model(tiny_model_directory)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=generator)
    return model


def diverge_by_hand(own: PreTrainedModel, base: PreTrainedModel) -> float:
    """Sum p log(p / b) in float64 over the vocabulary and every supervised token of the rows."""
    total = 0.0
    for row in ROWS:
        ids = torch.tensor([row.token_ids])
        p, b = (torch.softmax(m.double()(input_ids=ids).logits[0].detach(), 1) for m in (own, base))
        for place, is_supervised in enumerate(row.loss_mask):
            if is_supervised:
                pairs = zip(p[place - 1].tolist(), b[place - 1].tolist(), strict=True)
                total += sum(x * math.log(x / y) for x, y in pairs)
    return total


@pytest.mark.parametrize("plain_head", [True, False])
def test_the_divergence_is_exact_over_the_vocabulary_and_from_arm_to_base(
    tiny_model: PreTrainedModel, moved: PreTrainedModel, plain_head: bool
):
    batch = pad_rows([ROWS], 0)
    own, base = (predict(m, batch, plain_head=plain_head) for m in (moved, tiny_model))
    assert len(own) == 5
    assert own.vocabulary == base.vocabulary == tiny_model.config.vocab_size
    (there,), (back,) = (
        sum_divergences(own, base, batch.counts).tolist(),
        sum_divergences(base, own, batch.counts).tolist(),
    )
    assert there == pytest.approx(diverge_by_hand(moved, tiny_model), rel=1e-4)
    assert back == pytest.approx(diverge_by_hand(tiny_model, moved), rel=1e-4)
    assert abs(there - back) > 1e-3  # it has a direction
    assert sum_divergences(base, base, batch.counts).tolist() == [0.0]


def test_each_arm_gets_its_own_divergence_however_few_logits_fit_at_a_time(
    tiny_model: PreTrainedModel, moved: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
):
    batch = pad_rows([ROWS], 0)
    own, base = (predict(m, batch, plain_head=True) for m in (moved, tiny_model))
    expected = sum_divergences(own, base, (5,)).item()
    # Two arms of which the first is the base; both have one head here.
    both = Predictions(torch.cat([base.states, own.states]), base.head)
    alone = sum_divergences(Predictions(own.states, base.head), base, (5,)).item()
    assert alone != expected
    for logits in (2**24, 600, 1):
        monkeypatch.setitem(head.CHUNK_LOGITS, "cpu", logits)
        found = sum_divergences(both, base, (5, 5)).tolist()
        assert found == pytest.approx([0.0, alone], rel=1e-6, abs=1e-9)


def test_predictions_keep_hidden_states_and_not_the_logits_of_a_vocabulary(
    tiny_model: PreTrainedModel,
):
    read = predict(tiny_model, pad_rows([ROWS], 0), plain_head=True)
    assert read.states.shape == (5, tiny_model.config.hidden_size)
    other = predict(tiny_model, pad_rows([ROWS], 0), plain_head=False)
    torch.testing.assert_close(read.read(slice(5)), other.read(slice(5)))
    assert read.read(slice(5)).exp().sum(dim=1).tolist() == pytest.approx([1.0] * 5)


def test_the_divergence_to_learn_from_has_the_value_and_the_gradient_that_autograd_finds():
    generator = torch.Generator().manual_seed(2)
    states, base = (torch.randn(9, 4, generator=generator) for _ in range(2))
    weight = torch.randn(11, 4, generator=generator)
    shares = torch.rand(9, generator=generator)
    own = states.clone().requires_grad_()
    found = HeadDivergence.apply(own, weight, base)
    (found * shares).sum().backward()
    exact = states.double().requires_grad_()
    reference = (base.double() @ weight.double().t()).log_softmax(1)
    logits = (exact @ weight.double().t()).log_softmax(1)
    expected = torch.nn.functional.kl_div(reference, logits, log_target=True, reduction="none")
    (expected.sum(1) * shares).sum().backward()
    torch.testing.assert_close(found.double(), expected.sum(1), rtol=1e-5, atol=1e-6)
    assert own.grad is not None
    torch.testing.assert_close(own.grad.double(), exact.grad, rtol=1e-4, atol=1e-6)


def test_it_is_the_same_however_few_tokens_logits_are_made_at_a_time(monkeypatch):
    generator = torch.Generator().manual_seed(2)
    states, base = (torch.randn(9, 4, generator=generator) for _ in range(2))
    weight = torch.randn(11, 4, generator=generator)
    whole = HeadDivergence.apply(states, weight, base)
    monkeypatch.setitem(head.CHUNK_LOGITS, "cpu", 22)
    torch.testing.assert_close(HeadDivergence.apply(states, weight, base), whole)


@pytest.mark.parametrize("plain_head", [True, False])
def test_summed_it_is_what_is_measured(
    tiny_model: PreTrainedModel, moved: PreTrainedModel, plain_head: bool
):
    batch = pad_rows([ROWS], 0)
    base, own = (predict(m, batch, plain_head=plain_head) for m in (tiny_model, moved))
    if plain_head:  # two models have a head each here, an arm and its base share one
        base = Predictions(base.states, own.head)
    found = divergences_in_training(moved, batch, base, plain_head=plain_head)
    measured = sum_divergences(own, base, batch.counts)
    assert found.sum().item() == pytest.approx(measured.item(), rel=1e-4)
