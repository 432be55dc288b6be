"""Adapters on disk, in PEFT's format: what we write, `peft` loads, and back."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from rankshift.arms import Arm
from rankshift.atomic import write_atomically
from rankshift.errors import UserError
from rankshift.model.adapters import LockStepLinear
from rankshift.model.targets import list_of_blocks
from rankshift.model.tensor_files import iterate_tensors, read_tensors, write_tensors

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def write_adapter(
    folder: Path, layers: Sequence[LockStepLinear], index: int, arm: Arm, base: str
) -> None:
    """Write one arm's adapter; the config comes last, so a folder with one is complete.

    Args:
        folder: Becomes the adapter's directory.
        layers: The group's layers.
        index: Which arm of the group.
        arm: For rank, alpha, scaling and targets.
        base: Name or path of the base, as `peft` needs to find it.
    """
    tensors, lists = {}, set()
    for layer in layers:
        rows = layer.segments[index].rows
        if not layer.segments[index].rank:
            continue
        lists.add(list_of_blocks(layer.name))
        prefix = f"base_model.model.{layer.name}"
        tensors[f"{prefix}.lora_A.weight"] = layer.lora_A[rows]
        tensors[f"{prefix}.lora_B.weight"] = layer.lora_B[rows].t()
    write_tensors(folder / WEIGHTS, tensors)
    config = _describe(arm, base) | _describe_layers(arm, lists)
    write_atomically(folder / CONFIG, json.dumps(config, indent=2) + "\n")


def _describe_layers(arm: Arm, lists: set[str | None]) -> dict[str, object]:
    if not arm.layers:
        return {}
    patterns = sorted(name for name in lists if name is not None)
    return {"layers_to_transform": list(arm.layers), "layers_pattern": patterns}


def _describe(arm: Arm, base: str) -> dict[str, object]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": arm.rank,
        "lora_alpha": arm.alpha,
        "use_rslora": arm.scaling == "alpha/sqrt(rank)",
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": sorted(arm.target_modules),
    }


def check_finite(folder: Path) -> None:
    """Read an adapter's tensors one by one: whole types are no weights, NaN spreads to all.

    The header's sizes are the file's own (safetensors checks that), so no more is taken than it is
    long.

    Raises:
        UserError: A weight is no finite number; names the tensor.
    """
    path = folder / WEIGHTS
    for name, tensor in iterate_tensors(path):
        if not tensor.is_floating_point():
            raise UserError(f"{path}: {name} is {tensor.dtype}, no weights; get the adapter again")
        if not torch.isfinite(tensor).all():
            raise UserError(
                f"{path}: {name} holds NaN or infinity; its training diverged, give another"
            )


def read_adapter(folder: Path, layers: Sequence[LockStepLinear], index: int) -> None:
    """Read one arm's adapter into its rows of the group's layers.

    Raises:
        UserError: Missing, cut, of other modules or of another shape.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise UserError(f"{path}: no such adapter; only safetensors are read")
    tensors = read_tensors(path)
    for layer in layers:
        rows = layer.segments[index].rows
        if not layer.segments[index].rank:
            continue
        for factor, flat in (("lora_A", layer.lora_A), ("lora_B", layer.lora_B)):
            key = f"base_model.model.{layer.name}.{factor}.weight"
            tensor = tensors.pop(key, None)
            if tensor is None:
                raise UserError(
                    f"{path}: no {key}; the adapter is for other modules or another base"
                )
            tensor = tensor if factor == "lora_A" else tensor.t()
            if tensor.shape != flat[rows].shape:
                got, asked = list(tensor.shape), list(flat[rows].shape)
                raise UserError(f"{path}: {key} is {got}, the study asks for {asked}")
            with torch.no_grad():
                flat[rows] = tensor.to(flat)
    if tensors:
        raise UserError(f"{path}: {sorted(tensors)[0]} belongs to no target module of the study")
