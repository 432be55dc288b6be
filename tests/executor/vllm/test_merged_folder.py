"""A merged adapter is the model that the adapter over its base is."""

from pathlib import Path

import pytest
import torch

from rankshift.arms import Arm
from rankshift.executor.vllm.merged_folder import write_merged
from rankshift.grid import ALL_PROJECTIONS
from rankshift.model.adapter_files import write_adapter
from rankshift.model.adapters import AdapterShape, insert_adapters
from rankshift.model.loading import load_model

IDS = torch.tensor([[7, 200, 13, 5, 80]])


@torch.no_grad()
def test_a_merged_adapter_is_the_adapter_over_its_base(tiny_model_directory: Path, tmp_path: Path):
    model = load_model(tiny_model_directory)
    arm = Arm("lora", "task", rank=3, alpha=6.0, scaling="alpha/sqrt(rank)", seed=1)
    arm = Arm(**{**vars(arm), "target_modules": ALL_PROJECTIONS})
    layers = insert_adapters(model, [AdapterShape(3, arm.scale or 0.0)], ALL_PROJECTIONS)
    for layer in layers:
        layer.lora_B.normal_(std=0.3, generator=torch.Generator().manual_seed(2))
    write_adapter(tmp_path / "adapter", layers, 0, arm, "tiny")
    write_merged(tmp_path / "adapter", tiny_model_directory, tmp_path / "merged")
    expected = model(IDS).logits
    found = load_model(tmp_path / "merged")(IDS).logits
    base = load_model(tiny_model_directory)(IDS).logits
    assert found == pytest.approx(expected, abs=1e-4)
    assert (base - expected).abs().max() > 0.1
    assert sorted(path.name for path in (tmp_path / "merged").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
