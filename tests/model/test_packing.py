from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from rankshift.data.batches import TokenBatch, lay_rows
from rankshift.data.rendering import Rendered
from rankshift.model.likelihood import supervised_losses
from rankshift.model.packing import attention_to_documents
from tests.padding import make_row

LENGTHS = {
    "of one length": [[6, 6], [6, 6]],
    "of nearly one length": [[9, 10, 11], [11, 10, 9]],
    "of many lengths": [[3, 40, 12, 5], [25, 17, 9, 9]],
    "with something left over": [[3, 40], [12, 5, 2]],
    "alone": [[13]],
}


@pytest.fixture
def model() -> PreTrainedModel:
    """Build a model whose queries share keys, all its weights trained."""
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    model = LlamaForCausalLM(config).eval()
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.data.normal_(std=0.3, generator=generator)
    return model


def draw_arms(lengths: list[list[int]]) -> list[list[Rendered]]:
    """Draw rows of some lengths for each arm; the later half of a row carries loss."""
    generator = np.random.default_rng(0)
    return [
        [
            make_row(generator.integers(0, 64, n).tolist(), [i > n // 2 for i in range(n)])
            for n in own
        ]
        for own in lengths
    ]


def run(model: PreTrainedModel, batch: TokenBatch) -> tuple[Tensor, list[Tensor]]:
    """Give the losses, and the gradients of their sum, each loss with a weight of its own."""
    model.zero_grad()
    losses = supervised_losses(model, batch)
    (losses * torch.linspace(1, 2, len(losses))).sum().backward()
    return losses.detach(), [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_packed_rows_have_the_losses_and_gradients_of_padded_ones(
    model: PreTrainedModel, lengths: list[list[int]]
):
    arms = draw_arms(lengths)
    expected, right = run(model, lay_rows([[row for own in arms for row in own]], 0, packed=False))
    with attention_to_documents(model):
        losses, gradients = run(model, lay_rows(arms, 0, packed=True))
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=1e-6)
    for got, wanted in zip(gradients, right, strict=True):
        assert (got - wanted).norm() < 1e-5 * wanted.norm()


def test_another_document_changes_no_bit_of_a_documents_losses(model: PreTrainedModel):
    first, second = draw_arms([[12, 30], [12, 30]])
    changed = [first[0], replace(first[1], token_ids=second[1].token_ids)]
    with attention_to_documents(model), torch.no_grad():
        before, after = (
            supervised_losses(model, lay_rows([own], 0, packed=True)) for own in (first, changed)
        )
    own = sum(first[0].loss_mask)
    assert torch.equal(before[:own], after[:own])
    assert not torch.equal(before[own:], after[own:])


def test_a_nan_in_one_document_stays_in_its_arm(model: PreTrainedModel):
    arms = draw_arms([[12, 30, 7], [5, 20, 9]])
    batch = lay_rows(arms, 0, packed=True)
    embeddings = model.get_input_embeddings()

    def spoil(_: object, __: object, output: Tensor) -> Tensor:
        return output.index_fill(0, torch.tensor([1]), torch.nan)

    with attention_to_documents(model):
        expected = supervised_losses(model, batch)
        hook = embeddings.register_forward_hook(spoil)
        losses = supervised_losses(model, batch)
        hook.remove()
    own = batch.counts[0]
    assert torch.equal(losses[:own], expected[:own])
    assert losses[own:].isnan().all()


def test_the_model_attends_as_before_afterwards(model: PreTrainedModel):
    token_ids = torch.arange(20).view(2, 10)
    expected = model(token_ids).logits
    with pytest.raises(KeyError), attention_to_documents(model):
        raise KeyError
    assert torch.equal(model(token_ids).logits, expected)
