from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import Gemma2Config, Gemma2ForCausalLM, PreTrainedModel

from rankshift.model.likelihood import count_by_arm, sum_by_arm, supervised_losses
from rankshift.model.loading import load_model


@pytest.fixture
def loss_mask() -> Tensor:
    """Supervise some tokens of 6 rows of 9, other ones in every row, never the first."""
    mask = torch.rand(6, 9, generator=torch.Generator().manual_seed(2)) < 0.5
    mask[:, 0] = False
    mask[:, -1] = True
    return mask


def mean_by_transformers(model: PreTrainedModel, token_ids: Tensor, loss_mask: Tensor) -> Tensor:
    """Give the mean loss as transformers computes it from labels."""
    return model(input_ids=token_ids, labels=token_ids.masked_fill(~loss_mask, -100)).loss


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


def test_the_loss_is_that_of_transformers_with_unsupervised_labels_left_out(
    tiny_model: PreTrainedModel, token_ids: Tensor, loss_mask: Tensor
):
    losses = supervised_losses(tiny_model, token_ids, loss_mask)
    assert losses.shape == (int(loss_mask.sum()),)
    expected = mean_by_transformers(tiny_model, token_ids, loss_mask)
    torch.testing.assert_close(losses.mean(), expected, rtol=1e-6, atol=0)


def test_the_losses_come_row_by_row(
    tiny_model: PreTrainedModel, token_ids: Tensor, loss_mask: Tensor
):
    parts = supervised_losses(tiny_model, token_ids, loss_mask).split(loss_mask.sum(1).tolist())
    for row, part in enumerate(parts):
        ids, mask = token_ids[row : row + 1], loss_mask[row : row + 1]
        torch.testing.assert_close(part.mean(), mean_by_transformers(tiny_model, ids, mask))


def test_soft_capping_behind_the_output_head_is_applied(token_ids: Tensor, loss_mask: Tensor):
    model = build_soft_capped_model()
    got = supervised_losses(model, token_ids, loss_mask).mean()
    expected = mean_by_transformers(model, token_ids, loss_mask)
    model.config.final_logit_softcapping = None
    uncapped = mean_by_transformers(model, token_ids, loss_mask)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=0)
    assert (uncapped - expected).abs() > 0.1


@pytest.mark.parametrize("pad_token", [0, 256])
def test_padding_on_the_right_changes_no_loss(
    tiny_model: PreTrainedModel, token_ids: Tensor, loss_mask: Tensor, pad_token: int
):
    expected = supervised_losses(tiny_model, token_ids, loss_mask)
    padded = torch.nn.functional.pad(token_ids, (0, 5), value=pad_token)
    got = supervised_losses(tiny_model, padded, torch.nn.functional.pad(loss_mask, (0, 5)))
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


def test_the_model_is_left_as_it_was(
    tiny_model_directory: Path, token_ids: Tensor, loss_mask: Tensor
):
    model = load_model(tiny_model_directory)
    expected = model(token_ids).logits
    supervised_losses(model, token_ids, loss_mask)
    with pytest.raises(IndexError):
        supervised_losses(model, token_ids[:, :5], loss_mask)
    assert torch.equal(model(token_ids).logits, expected)


def test_each_arm_gets_the_losses_of_its_own_rows():
    mask = torch.tensor([[0, 1, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]], dtype=torch.bool)
    losses = torch.tensor([1.0, 10.0, 100.0, 1000.0])
    assert count_by_arm(mask, 2).tolist() == [3, 1]
    assert sum_by_arm(losses, mask, 2).tolist() == [111.0, 1000.0]
    assert sum_by_arm(losses, mask, 4).tolist() == [1.0, 110.0, 1000.0, 0.0]
