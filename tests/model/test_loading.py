import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from rankshift.errors import UserError
from rankshift.model.loading import load_model, load_skeleton, load_tokenizer, padding_token
from rankshift.model.tensor_files import read_tensors, write_tensors


@pytest.fixture
def copied_model(tiny_model_directory: Path, tmp_path: Path) -> Path:
    """Copy the tiny model to a place where a test may damage it."""
    return Path(shutil.copytree(tiny_model_directory, tmp_path / "copy"))


def test_a_loaded_model_is_frozen_and_draws_no_dropout(tiny_model_directory: Path):
    model = load_model(tiny_model_directory)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_a_model_with_weights_missing_is_refused_rather_than_filled_at_random(copied_model: Path):
    weights = copied_model / "model.safetensors"
    tensors = read_tensors(weights)
    del tensors["model.layers.1.mlp.up_proj.weight"], tensors["model.norm.weight"]
    write_tensors(weights, tensors)
    with pytest.raises(UserError) as caught:
        load_model(copied_model)
    assert str(caught.value) == (
        f"{copied_model}: its weights lack model.layers.1.mlp.up_proj.weight; the copy is not "
        "whole, or its config.json is another model's"
    )


def test_weights_that_were_cut_are_refused_in_one_line(copied_model: Path):
    weights = copied_model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(UserError) as caught:
        load_model(copied_model)
    assert str(caught.value).startswith(
        f"{copied_model}: cannot be loaded as a causal language model: "
    )
    assert "\n" not in str(caught.value)


def test_pickled_weights_are_never_opened(copied_model: Path):
    torch.save(read_tensors(copied_model / "model.safetensors"), copied_model / "pytorch_model.bin")
    (copied_model / "model.safetensors").unlink()
    with pytest.raises(UserError, match="cannot be loaded as a causal language model"):
        load_model(copied_model)


def test_an_unknown_architecture_is_refused_in_one_line(copied_model: Path):
    (copied_model / "config.json").write_text(json.dumps({"model_type": "abacus"}))
    with pytest.raises(UserError) as caught:
        load_skeleton(copied_model)
    assert str(caught.value).startswith(f"{copied_model}: not a causal language model: ")
    assert "\n" not in str(caught.value)


def test_a_skeleton_has_the_models_shapes_and_none_of_its_memory(tiny_model_directory: Path):
    model, skeleton = load_model(tiny_model_directory), load_skeleton(tiny_model_directory)
    expected = {name: parameter.shape for name, parameter in model.named_parameters()}
    assert {name: parameter.shape for name, parameter in skeleton.named_parameters()} == expected
    assert {parameter.device.type for parameter in skeleton.parameters()} == {"meta"}


def test_a_directory_without_a_tokenizer_is_refused(copied_model: Path):
    for path in copied_model.glob("*token*"):
        path.unlink()
    with pytest.raises(UserError) as caught:
        load_tokenizer(copied_model)
    assert str(caught.value).startswith(f"{copied_model}: has no tokenizer that can be loaded: ")


def test_rows_are_padded_with_the_tokenizers_own_token(
    tiny_tokenizer: PreTrainedTokenizerFast, tiny_model_directory: Path
):
    assert tiny_tokenizer.pad_token_id == padding_token(tiny_tokenizer) != 0
    bare = load_tokenizer(tiny_model_directory)
    bare.pad_token = None
    assert padding_token(bare) == 0
