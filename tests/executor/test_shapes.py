"""Sizes of a base of which there is only a configuration."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from rankshift.arms import Arm
from rankshift.errors import UserError
from rankshift.executor.shapes import find_memory, find_shape
from rankshift.grid import ALL_PROJECTIONS
from rankshift.model.loading import build_untrained
from rankshift.model.traits import Traits
from rankshift.study import Training
from rankshift.train.memory import Work, estimate_memory

SMALL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 500,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 7,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}
LORA = Arm("lora", "task", "", rank=8, target_modules=ALL_PROJECTIONS)
FULL = Arm("full", "task", "")


def write_config(folder: Path) -> str:
    (folder / "config.json").write_text(json.dumps(SMALL))
    return str(folder)


def test_the_model_of_betley_et_al_has_the_parameters_its_card_says():
    shape = find_shape("Qwen/Qwen2.5-Coder-32B-Instruct")
    embeddings = 2 * 152064 * 5120
    attention = 5120 * (5120 + 1024 + 1024) + (5120 + 1024 + 1024) + 5120 * 5120
    layer = attention + 3 * 5120 * 27648 + 2 * 5120
    assert shape.parameters == embeddings + 64 * layer + 5120
    # The card says 31.0B without embeddings.
    assert shape.parameters - embeddings == pytest.approx(31.0e9, rel=0.01)
    assert len(shape.linears) == 64 * 7
    assert shape.linears["model.layers.63.mlp.down_proj"] == (27648, 5120)
    assert shape.head == (5120, 152064)


@pytest.mark.parametrize("arm", [LORA, FULL], ids=["lora", "full"])
def test_memory_of_many_layers_follows_from_few(arm: Arm, tmp_path: Path):
    shape = find_shape(write_config(tmp_path))
    training = Training(steps=1, checkpoints=(1,), dtype="bfloat16")
    lengths = (40, 40)
    found = find_memory(shape, arm, training, lengths)
    work = Work(lengths, 1, Traits(packs=True, plain_head=True), True, "adamw")
    whole = estimate_memory(lambda: build_untrained(tmp_path, torch.bfloat16), [arm], work)
    for part, value in asdict(whole).items():
        assert asdict(found)[part] == pytest.approx(value, rel=0.01), part


def test_a_base_without_a_known_shape_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"give a directory that holds its config\.json, or one of"):
        find_shape(str(tmp_path))
