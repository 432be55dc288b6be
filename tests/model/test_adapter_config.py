import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rankshift.errors import UserError
from rankshift.grid import ALL_PROJECTIONS, Subset
from rankshift.model.adapter_config import read_adapter_config
from rankshift.model.loading import load_model, load_skeleton
from rankshift.model.tensor_files import read_tensors, write_tensors
from rankshift.train.trainee import prepare_given
from tests.given_models import WARNING, make_peft, save_adapter

pytestmark = pytest.mark.filterwarnings(WARNING)

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rank-stabilized": {"use_rslora": True, "lora_alpha": 6},
    "in one layer": {"target_modules": ["down_proj"], "layers_to_transform": [1]},
    "everywhere": {"target_modules": "all-linear", "r": 40},
    "by pattern": {
        "target_modules": r".*\.(0\.self_attn\.q_proj|1\.mlp\.up_proj)",
        "rank_pattern": {"up_proj": 2},
        "alpha_pattern": {r"^model\.layers\.0\..*q_proj": 3.0},
    },
    "without a layer's module": {"exclude_modules": r".*\.0\.mlp\.down_proj"},
}


@pytest.fixture
def adapters(tiny_model_directory: Path, tmp_path: Path) -> dict[str, Path]:
    """Save one adapter of every kind, as PEFT does."""
    return {
        name: save_adapter(tmp_path / name, tiny_model_directory, seed, **config)
        for seed, (name, config) in enumerate(KINDS.items())
    }


def test_adapters_of_every_kind_side_by_side_give_the_logits_that_peft_gives(
    tiny_model_directory: Path, adapters: dict[str, Path], token_ids: Tensor
):
    base = load_model(tiny_model_directory)
    bare = base(token_ids[:2]).logits
    trainee = prepare_given(base, list(adapters.values()))
    ours = trainee.model(token_ids[:2].repeat(len(adapters), 1)).logits.chunk(len(adapters))
    for seed, (config, logits) in enumerate(zip(KINDS.values(), ours, strict=True)):
        theirs = make_peft(tiny_model_directory, seed, **config)(token_ids[:2]).logits
        torch.testing.assert_close(logits, theirs, rtol=1e-5, atol=1e-5)
        assert (logits - bare).abs().max() > 0.1


def test_rank_alpha_scaling_and_modules_are_read_from_the_files(
    tiny_model_directory: Path, adapters: dict[str, Path]
):
    skeleton = load_skeleton(tiny_model_directory)
    found = {name: read_adapter_config(path, skeleton) for name, path in adapters.items()}
    told = {n: (c.rank, c.alpha, c.scaling, c.subset, c.uneven) for n, c in found.items()}
    two = ("q_proj", "down_proj")
    assert told == {
        "plain": (4, 8.0, "alpha/rank", Subset(two), False),
        "rank-stabilized": (4, 6.0, "alpha/sqrt(rank)", Subset(two), False),
        "in one layer": (4, 8.0, "alpha/rank", Subset(("down_proj",), (1,)), False),
        "everywhere": (40, 8.0, "alpha/rank", Subset(ALL_PROJECTIONS), False),
        "by pattern": (4, None, "alpha/rank", Subset(("q_proj", "up_proj"), (0, 1)), True),
        "without a layer's module": (4, 8.0, "alpha/rank", Subset(two, (0, 1)), True),
    }
    q, up = "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.up_proj"
    assert found["by pattern"].by_layer == {q: (4, 3.0 / 4), up: (2, 8.0 / 2)}
    assert set(found["rank-stabilized"].by_layer.values()) == {(4, 6.0 / 4**0.5)}
    assert {config.base for config in found.values()} == {str(tiny_model_directory)}


SLOW = "(?:(?:.|..|...)+)+(?<!.)"
"""Tries every sum of ones, twos and threes that is as long as a name, and finds none."""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "LOHA"}, "peft_type is 'LOHA'; only adapters of type LORA are read"),
        ({"peft_type": None}, "peft_type is None; only adapters of type LORA are read"),
        ({"use_dora": True}, "use_dora is True, which is more than factors beside frozen layers"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is ['lm_head'], which is more"),
        ({"bias": "all"}, "bias is 'all', which is more than factors"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa', which is more than"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out is True, which is more than factors"),
        ({"of_next_year": {"a": 1}}, "of_next_year is {'a': 1}, which is more than factors"),
        ({"lora_alpha": None}, "lora_alpha is None; expected a number above 0"),
        ({"r": True}, "r is True; expected a number above 0"),
        ({"r": 8}, "has rank 4 in adapter_model.safetensors and 8 here; the two files are"),
        ({"rank_pattern": {"q_proj": "x"}}, "rank_pattern must give each module a number"),
        ({"rank_pattern": {"(": 3}}, "rank_pattern holds '(', no pattern"),
        ({"alpha_pattern": {SLOW: 3}}, f"alpha_pattern holds '{SLOW}', which takes too long"),
        ({"base_model_name_or_path": 3}, "base_model_name_or_path is no text"),
    ],
)
def test_what_the_engine_cannot_compute_exactly_is_refused(
    tiny_model_directory: Path, tmp_path: Path, change: dict, message: str
):
    folder = save_adapter(tmp_path / "adapter", tiny_model_directory)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError) as refused:
        read_adapter_config(folder, load_skeleton(tiny_model_directory))
    assert message in str(refused.value)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


KEY = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({KEY: torch.ones(4, 24)}, "is [4, 24], the base's layer takes [4, 16]; the adapter is"),
        ({KEY: torch.ones(3, 16)}, "is [16, 4], the base's layer takes [16, 3]; the adapter is"),
        ({KEY: torch.ones(0, 16)}, "is [0, 16], the base's layer takes [0, 16]"),
        ({KEY: None}, "model.layers.0.self_attn.q_proj lacks one of its two factors"),
        (
            {KEY.replace("layers.0", "layers.7"): torch.ones(4, 16)},
            "model.layers.7.self_attn.q_proj is no linear layer of the base, its output head aside",
        ),
        (
            {"base_model.model.lm_head.lora_A.weight": torch.ones(4, 16)},
            "lm_head is no linear layer of the base, its output head aside",
        ),
        (
            {"base_model.model.lm_head.weight": torch.ones(4, 16)},
            "base_model.model.lm_head.weight is no factor of a LoRA adapter",
        ),
    ],
)
def test_tensors_that_do_not_fit_the_base_are_refused_by_name_and_shape(
    tiny_model_directory: Path, tmp_path: Path, change: dict, message: str
):
    folder = save_adapter(tmp_path / "adapter", tiny_model_directory)
    path = folder / "adapter_model.safetensors"
    tensors = read_tensors(path) | change
    write_tensors(path, {name: t for name, t in tensors.items() if t is not None})
    with pytest.raises(UserError) as refused:
        read_adapter_config(folder, load_skeleton(tiny_model_directory))
    assert message in str(refused.value)
    assert str(refused.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("adapter_config.json", "{\n", ":2: not JSON; get the adapter again"),
        ("adapter_config.json", "[]", ": holds no table of settings"),
        ("adapter_model.safetensors", "cut", ": not a whole safetensors file"),
    ],
)
def test_a_cut_file_is_refused(
    tiny_model_directory: Path, tmp_path: Path, name: str, content: str, message: str
):
    folder = save_adapter(tmp_path / "adapter", tiny_model_directory)
    (folder / name).write_text(content)
    with pytest.raises(UserError) as refused:
        read_adapter_config(folder, load_skeleton(tiny_model_directory))
    assert str(refused.value).startswith(f"{folder / name}{message}")
