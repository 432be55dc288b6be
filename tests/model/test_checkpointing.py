from pathlib import Path

import torch
from torch import Tensor

from rankshift.grid import ALL_PROJECTIONS
from rankshift.model.adapters import AdapterShape, insert_adapters
from rankshift.model.checkpointing import checkpoint_layers
from rankshift.model.loading import load_model


def run(directory: Path, token_ids: Tensor, *, checkpointing: bool) -> tuple[list[Tensor], int]:
    """Give the gradients of two arms, and the bytes kept for the backward pass."""
    model = load_model(directory)
    layers = insert_adapters(model, [AdapterShape(4, 1.0), AdapterShape(9, 1.0)], ALL_PROJECTIONS)
    for layer in layers:
        layer.lora_B.fill_(0.01)
    if checkpointing:
        assert checkpoint_layers(model) == 2
    kept = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(token_ids, use_cache=False).logits.square().mean()
    loss.backward()
    factors = [factor for layer in layers for own in layer.factors for factor in own]
    return [factor.grad for factor in factors if factor.grad is not None], kept


def test_gradients_are_the_same_bit_for_bit_and_less_is_kept(
    tiny_model_directory: Path, token_ids: Tensor
):
    expected, much = run(tiny_model_directory, token_ids, checkpointing=False)
    got, little = run(tiny_model_directory, token_ids, checkpointing=True)
    assert len(got) == len(expected) == 2 * 7 * 2 * 2
    assert all(map(torch.equal, got, expected))
    assert little < 0.5 * much


def test_without_gradients_nothing_is_done_twice(tiny_model_directory: Path, token_ids: Tensor):
    model = load_model(tiny_model_directory)
    expected = model(token_ids).logits
    checkpoint_layers(model)
    with torch.no_grad():
        assert torch.equal(model(token_ids).logits, expected)
