from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import Gemma2Config, Gemma2ForCausalLM, PreTrainedModel

from rankshift.data.batches import pad_rows
from rankshift.data.rendering import Rendered
from rankshift.model.likelihood import sum_by_arm, supervised_losses
from rankshift.model.loading import load_model
from tests.padding import make_row, pad_plainly


@pytest.fixture
def rows(token_ids: Tensor) -> list[Rendered]:
    """Supervise some tokens of 6 rows of 4 to 9, other ones in every row, never the first."""
    mask = torch.rand(6, 9, generator=torch.Generator().manual_seed(2)) < 0.5
    mask[:, 0] = False
    lengths = (9, 6, 4, 9, 7, 8)
    for row, length in enumerate(lengths):
        mask[row, length - 1] = True
    return [
        make_row(token_ids[n, :k].tolist(), mask[n, :k].tolist()) for n, k in enumerate(lengths)
    ]


def mean_by_transformers(model: PreTrainedModel, rows: list[Rendered]) -> Tensor:
    """Give the mean loss as transformers computes it from labels."""
    token_ids, labels = pad_plainly(rows)
    return model(input_ids=token_ids, labels=labels).loss


def build_soft_capped_model() -> PreTrainedModel:
    """Build a Gemma 2 whose soft-capping of the logits changes the loss."""
    config = Gemma2Config(
        vocab_size=259,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        final_logit_softcapping=1.0,
    )
    model = Gemma2ForCausalLM(config).eval()
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        weight.data.normal_(std=0.5, generator=generator)
    return model


@pytest.mark.parametrize("plain_head", [False, True])
def test_the_loss_is_that_of_transformers_with_unsupervised_labels_left_out(
    tiny_model: PreTrainedModel, rows: list[Rendered], plain_head: bool
):
    losses = supervised_losses(tiny_model, pad_rows([rows], 0), plain_head=plain_head)
    assert losses.shape == (sum(sum(row.loss_mask) for row in rows),)
    expected = mean_by_transformers(tiny_model, rows)
    torch.testing.assert_close(losses.mean(), expected, rtol=1e-6, atol=0)


def test_the_losses_come_row_by_row(tiny_model: PreTrainedModel, rows: list[Rendered]):
    losses = supervised_losses(tiny_model, pad_rows([rows], 0))
    parts = losses.split([sum(row.loss_mask) for row in rows])
    for row, part in zip(rows, parts, strict=True):
        torch.testing.assert_close(part.mean(), mean_by_transformers(tiny_model, [row]))


def test_soft_capping_behind_the_output_head_is_applied(rows: list[Rendered]):
    model = build_soft_capped_model()
    got = supervised_losses(model, pad_rows([rows], 0)).mean()
    expected = mean_by_transformers(model, rows)
    model.config.final_logit_softcapping = None
    uncapped = mean_by_transformers(model, rows)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=0)
    assert (uncapped - expected).abs() > 0.1


@pytest.mark.parametrize("pad_token", [0, 256])
def test_padding_on_the_right_changes_no_loss(
    tiny_model: PreTrainedModel, rows: list[Rendered], pad_token: int
):
    expected = supervised_losses(tiny_model, pad_rows([rows[:3]], pad_token))
    longer = make_row(range(40), [False] * 39 + [True])
    got = supervised_losses(tiny_model, pad_rows([[*rows[:3], longer]], pad_token))
    torch.testing.assert_close(got[:-1], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("plain_head", [False, True])
def test_the_model_is_left_as_it_was(
    tiny_model_directory: Path, rows: list[Rendered], plain_head: bool
):
    model = load_model(tiny_model_directory)
    token_ids, _ = pad_plainly(rows)
    expected = model(token_ids).logits
    supervised_losses(model, pad_rows([rows], 0), plain_head=plain_head)
    outside = make_row([1, 100_000], [False, True])
    with pytest.raises(IndexError):
        supervised_losses(model, pad_rows([[outside]], 0), plain_head=plain_head)
    assert torch.equal(model(token_ids).logits, expected)


def test_each_arm_gets_the_losses_of_its_own_rows():
    masks = [[0, 1, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]]
    rows = [make_row([1, 2, 3], [bool(bit) for bit in mask]) for mask in masks]
    losses = torch.tensor([1.0, 10.0, 100.0, 1000.0])
    assert sum_by_arm(losses, pad_rows([rows[:2], rows[2:]], 0)).tolist() == [111.0, 1000.0]
    each = pad_rows([[row] for row in rows], 0)
    assert sum_by_arm(losses, each).tolist() == [1.0, 110.0, 1000.0, 0.0]
