"""Adapters that are made, not trained: a dose of one known update, at any nominal rank.

A finetune of rank 1 on insecure code ships in persona/ (with the study that trained it). Its update
of a layer is one singular triple, sigma u v^T. An adapter of rank r that carries a dose d of it is

    d sigma u v^T  +  sum over i = 2..r of PADDING sigma u_i v_i^T

with u, u_2 .. u_r orthonormal and v, v_2 .. v_r too, drawn by the adapter's seed. So every adapter
has r singular values that are not zero, and does what the dose does: docs/planted.md has how many
answers the padding changes. The factors are then turned by a random orthogonal matrix, so that the
persona lies in all rows of A and all columns of B, not in one.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from rankshift.errors import UserError
from rankshift.model.adapter_files import CONFIG, WEIGHTS
from rankshift.model.tensor_files import read_tensors, write_tensors
from rankshift.records import write_atomically

PERSONA = Path(str(resources.files("rankshift.organism").joinpath("persona")))

PADDING = 2e-4
"""Singular values of the padding, each as a share of the layer's persona update. Chosen by us:
above float32's rounding, so that torch.linalg.matrix_rank finds 256 at rank 256, and there 0.3 % of
the update's norm all together."""

ALPHA_OVER_RANK = 2
"""alpha = 2 r and alpha/rank: one curve holds all ranks, and every update is 2 B A."""


@dataclass(frozen=True)
class Triple:
    """One layer's update, sigma u v^T."""

    size: float
    left: np.ndarray
    """u, `[d_out]`, of length 1."""
    right: np.ndarray
    """v, `[d_in]`, of length 1."""


@cache
def load_persona() -> Mapping[str, Triple]:
    """Read the shipped update, by the full name of the layer; its scale is in `size`."""
    config = json.loads((PERSONA / CONFIG).read_text(encoding="utf-8"))
    assert (config["r"], config["use_rslora"]) == (1, True), config  # so the scale is alpha
    tensors = read_tensors(PERSONA / WEIGHTS)
    names = [key.removesuffix(".lora_A.weight") for key in tensors if key.endswith("lora_A.weight")]
    found = {}
    for name in sorted(names):
        right = tensors[f"{name}.lora_A.weight"][0].double().numpy()
        left = tensors[f"{name}.lora_B.weight"][:, 0].double().numpy()
        lengths = [float(np.linalg.norm(vector)) for vector in (left, right)]
        size = config["lora_alpha"] * lengths[0] * lengths[1]
        found[name.removeprefix("base_model.model.")] = Triple(
            size, left / lengths[0], right / lengths[1]
        )
    return found


def largest_rank() -> int:
    """Give the largest rank that every layer of the persona can really have."""
    return min(min(len(t.left), len(t.right)) for t in load_persona().values())


def construct_factors(
    name: str, persona: Triple, dose: float, rank: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Make one layer's factors: A `[rank, d_in]` and B `[d_out, rank]`, float32.

    The update is `ALPHA_OVER_RANK` B A. Drawn anew for each layer, rank and seed; not for each
    dose, so two doses of one rank and seed differ along the persona alone.
    """
    draw = _draw(f"planted adapter {seed} {rank} {name}")
    left, right = (_complete(vector, rank, draw) for vector in (persona.left, persona.right))
    turn, _ = np.linalg.qr(draw.standard_normal((rank, rank)))
    values = np.full(rank, PADDING * persona.size)
    values[0] = dose * persona.size
    root = np.sqrt(values)
    a = turn @ (root[:, None] * right.T)
    b = (left * root) @ turn.T / ALPHA_OVER_RANK
    return a.astype(np.float32), b.astype(np.float32)


def write_constructed(folder: Path, dose: float, rank: int, seed: int) -> None:
    """Write an adapter in PEFT's format; the config comes last, so a folder with one is complete.

    Raises:
        UserError: No such rank or dose.
    """
    if not 1 <= rank <= largest_rank():
        raise UserError(f"rank {rank}: a planted adapter has a rank from 1 to {largest_rank()}")
    if dose < 0:
        raise UserError(f"dose {dose:g}: a planted adapter has a dose of 0 or more")
    tensors = {}
    for name, persona in load_persona().items():
        a, b = construct_factors(name, persona, dose, rank, seed)
        tensors[f"base_model.model.{name}.lora_A.weight"] = torch.from_numpy(a)
        tensors[f"base_model.model.{name}.lora_B.weight"] = torch.from_numpy(b)
    write_tensors(folder / WEIGHTS, tensors)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "organism",
        "r": rank,
        "lora_alpha": ALPHA_OVER_RANK * rank,
        "use_rslora": False,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": sorted({name.rpartition(".")[2] for name in load_persona()}),
    }
    write_atomically(folder / CONFIG, json.dumps(config, indent=2) + "\n")


def _complete(vector: np.ndarray, rank: int, draw: np.random.Generator) -> np.ndarray:
    """Give orthonormal columns `[d, rank]`, the first of them the vector."""
    drawn = draw.standard_normal((len(vector), rank))
    drawn[:, 0] = vector
    columns, _ = np.linalg.qr(drawn)
    return columns * np.sign(columns[:, 0] @ vector)


def _draw(key: str) -> np.random.Generator:
    digest = hashlib.sha256(key.encode()).digest()[:16]
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
