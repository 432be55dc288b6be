"""Weights made of a finished update without training: cut to a rank, or scaled to a norm."""

import json
from pathlib import Path

from torch import Tensor

from rankshift.atomic import write_atomically
from rankshift.errors import UserError
from rankshift.model.adapter_files import CONFIG, WEIGHTS
from rankshift.model.tensor_files import read_tensors, write_tensors
from rankshift.model.updates import Update, measure_norm, name_factor


def write_cut(update: Update, rank: int, folder: Path, base_name: str) -> None:
    """Write the adapter of a rank that is nearest to an update, layer by layer.

    Each layer keeps its `rank` largest singular values: no matrix of that rank is nearer to its
    update (Eckart and Young 1936, Psychometrika 1(3)). Its factors are B = U_k sqrt(S_k) and
    A = sqrt(S_k) V_k^T, its scale 1. A layer that cannot have so many keeps all of its own. Of a
    whole model's update what is not in linear layers is left out; `UpdateRecord.elsewhere` says how
    much that is.

    Args:
        update: A finetune's.
        rank: At least 1.
        folder: Becomes an adapter's directory in PEFT's format; the config comes last.
        base_name: Name or path of the base, as `peft` needs to find it.
    """
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for layer in update.layers:
        U, S, Vt = update.read(layer).decompose()
        root, ranks[layer] = S[:rank].sqrt(), len(S[:rank])
        tensors[name_factor(layer, "A")] = (root[:, None] * Vt[:rank]).float()
        tensors[name_factor(layer, "B")] = (U[:, :rank] * root).float()
    write_tensors(folder / WEIGHTS, tensors)
    config = _describe(ranks, rank, base_name)
    write_atomically(folder / CONFIG, json.dumps(config, indent=2) + "\n")


def write_scaled(update: Update, norm: float, folder: Path) -> float:
    """Write an update as it is but for its size: its norm over linear layers is the given one.

    Of an adapter B is scaled; of a whole model the difference of every tensor from the base, those
    outside of linear layers too, by the one factor.

    Args:
        update: A finetune's.
        norm: Frobenius norm over all adapted layers, of a whole model over all linear layers.
        folder: Becomes an adapter's or a model's directory, as the update's is.

    Returns:
        The factor.

    Raises:
        UserError: The update is zero.
    """
    found = measure_norm(update)
    if not found:
        raise UserError(f"{update.path}: nothing was changed, so no norm can be given to it")
    factor = norm / found
    tensors = read_tensors(update.path)
    for name, tensor in tensors.items():
        if update.scales is None:
            base = update.read_base(name)
            tensors[name] = (base + factor * (tensor.double() - base)).float()
        elif name.endswith("lora_B.weight"):
            tensors[name] = (factor * tensor.double()).float()
    write_tensors(folder / update.path.name, tensors)
    config = "config.json" if update.scales is None else CONFIG
    write_atomically(folder / config, (update.folder / config).read_text(encoding="utf-8"))
    return factor


def _describe(ranks: dict[str, int], rank: int, base_name: str) -> dict[str, object]:
    """Give PEFT's config: layers by their full names, alpha that makes every scale 1."""
    smaller = {layer: own for layer, own in sorted(ranks.items()) if own != rank}
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "r": rank,
        "lora_alpha": rank,
        "rank_pattern": smaller,
        "alpha_pattern": smaller,
        "use_rslora": False,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": sorted(ranks),
    }
