"""What the files of a PEFT adapter say it is, checked against its base before it takes memory.

Which modules it is on and with what rank is read from its tensors' names and shapes; PEFT's ways to
name modules (patterns, lists, layers) need then not be followed. What config and tensors must agree
on is checked.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import regex
from torch import nn

from rankshift.errors import UserError
from rankshift.grid import ALL_PROJECTIONS, MAX_RANK, Scaling, Subset
from rankshift.model.adapter_files import CONFIG, WEIGHTS
from rankshift.model.targets import Linear, block_of, covers, list_linears
from rankshift.model.tensor_files import read_shapes

PATTERN_SECONDS = 0.2
"""A sane pattern takes millionths."""

KEY = re.compile(r"base_model\.model\.(?P<layer>.+)\.lora_(?P<factor>[AB])\.weight")
"""Name of a factor's tensor: A `[rank, d_in]`, B `[d_out, rank]`.
Source: PEFT, docs/source/developer_guides/checkpoint.md."""

READ = {
    "peft_type",
    "base_model_name_or_path",
    "r",
    "lora_alpha",
    "use_rslora",
    "rank_pattern",
    "alpha_pattern",
    "init_lora_weights",
    "bias",
}
"""Keys of the config that decide what is computed and are read here."""

WITHOUT_EFFECT = {
    "task_type",
    "auto_mapping",
    "peft_version",
    "revision",
    "inference_mode",
    "lora_dropout",  # in training alone
    "target_modules",  # the tensors have it, as they have the next three
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "megatron_core",  # without megatron_config
    "qalora_group_size",  # without use_qalora
}
"""Keys that change no output of a trained adapter. Any other must be off: it may be a kind of
adapter that is computed in another way. Source: PEFT 0.21.2, tuners/lora/config.py."""

HARMLESS_STARTS = {True, False, None, "gaussian", "orthogonal"}
"""Ways to draw the first factors that leave the base's weights alone; PiSSA, OLoRA, CorDA and LoftQ
do not. Source: PEFT 0.21.2, tuners/lora/layer.py, update_layer."""


@dataclass(frozen=True)
class AdapterConfig:
    """A PEFT adapter of LoRA's kind, as the engine holds it."""

    by_layer: Mapping[str, tuple[int, float]]
    """Full name of each adapted layer to its rank and scale."""
    rank: int
    """The largest."""
    alpha: float | None
    """None where it differs from layer to layer."""
    scaling: Scaling
    subset: Subset
    uneven: bool
    """Whether ranks or scales differ, or the layers are not all of some modules in some blocks."""
    base: str | None
    """What the adapter says it was trained on."""


def read_adapter_config(folder: Path, model: nn.Module) -> AdapterConfig:
    """Read what an adapter is, from its config and its tensors' names and shapes alone.

    Args:
        folder: The adapter's directory.
        model: The base; its weights may lie on the meta device.

    Raises:
        UserError: It is no LoRA adapter, one the engine cannot compute exactly, or another base's.
    """
    config = _read_config(folder / CONFIG)
    _refuse_other_kinds(folder / CONFIG, config)
    ranks = _read_ranks(folder / WEIGHTS, list_linears(model))
    alphas = _match_patterns(folder / CONFIG, config, ranks)
    scaling: Scaling = "alpha/sqrt(rank)" if config.get("use_rslora") else "alpha/rank"
    by_layer = {name: (r, _scale(alphas[name], r, scaling)) for name, r in ranks.items()}
    subset, is_whole = _find_subset(set(ranks), model)
    return AdapterConfig(
        by_layer=by_layer,
        rank=max(ranks.values()),
        alpha=max(alphas.values()) if len(set(alphas.values())) == 1 else None,
        scaling=scaling,
        subset=subset,
        uneven=not is_whole or len(set(by_layer.values())) > 1,
        base=config.get("base_model_name_or_path"),
    )


def _scale(alpha: float, rank: int, scaling: Scaling) -> float:
    """Give the factor on B A. Source: PEFT 0.21.2, tuners/lora/layer.py, update_layer."""
    return alpha / (rank if scaling == "alpha/rank" else math.sqrt(rank))


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not JSON; get the adapter again") from None
    except (OSError, ValueError, RecursionError):
        raise UserError(f"{path}: cannot be read; give the directory of a PEFT adapter") from None
    if not isinstance(config, dict):
        raise UserError(f"{path}: holds no table of settings; get the adapter again")
    return config


def _refuse_other_kinds(path: Path, config: dict[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise UserError(f"{path}: peft_type is {kind!r}; only adapters of type LORA are read")
    on = [key for key in sorted(set(config) - READ - WITHOUT_EFFECT) if config[key]]
    if config.get("bias", "none") != "none":
        on.append("bias")
    start = config.get("init_lora_weights", True)
    if not isinstance(start, bool | str | None) or start not in HARMLESS_STARTS:
        on.append("init_lora_weights")
    if on:
        raise UserError(
            f"{path}: {on[0]} is {config[on[0]]!r:.60}, which is more than factors beside frozen "
            "layers; merge the adapter into its base and give the whole model"
        )
    for key in ("r", "lora_alpha"):
        if not _is_number(config.get(key)):
            raise UserError(f"{path}: {key} is {config.get(key)!r:.60}; expected a number above 0")
    for key in ("rank_pattern", "alpha_pattern"):
        pattern = config.get(key) or {}
        if not isinstance(pattern, dict) or not all(map(_is_number, pattern.values())):
            raise UserError(f"{path}: {key} must give each module a number above 0")
    base = config.get("base_model_name_or_path")
    if not isinstance(base, str | None):
        raise UserError(f"{path}: base_model_name_or_path is no text; correct it")


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 < value < math.inf


def _read_ranks(path: Path, linears: dict[str, Linear]) -> dict[str, int]:
    """Read each adapted layer's rank from the header of the file; no tensor is loaded."""
    factors: dict[str, dict[str, tuple[int, ...]]] = {}
    for key, shape in read_shapes(path).items():
        match = KEY.fullmatch(key)
        if match is None:
            raise UserError(f"{path}: {key} is no factor of a LoRA adapter; merge it into its base")
        factors.setdefault(match["layer"], {})[match["factor"]] = shape
    if not factors:
        raise UserError(f"{path}: holds no tensors; get the adapter again")
    return {name: _check_shapes(path, name, linears, own) for name, own in factors.items()}


def _check_shapes(
    path: Path, name: str, linears: dict[str, Linear], factors: dict[str, tuple[int, ...]]
) -> int:
    if name not in linears:
        raise UserError(
            f"{path}: {name} is no linear layer of the base, its output head aside; the adapter is "
            "another base's"
        )
    if set(factors) != {"A", "B"}:
        raise UserError(f"{path}: {name} lacks one of its two factors; get the adapter again")
    linear, rank = linears[name], factors["A"][0] if factors["A"] else 0
    asked = {"A": (rank, linear.in_features), "B": (linear.out_features, rank)}
    for factor, shape in factors.items():
        if shape != asked[factor] or not 1 <= rank <= MAX_RANK:
            raise UserError(
                f"{path}: lora_{factor} of {name} is {list(shape)}, the base's layer takes "
                f"{list(asked[factor])}; the adapter is another base's"
            )
    return rank


def _match_patterns(path: Path, config: dict[str, Any], ranks: dict[str, int]) -> dict[str, float]:
    """Give each layer's alpha, and check that the config gives it the rank its tensors have."""
    alphas = {}
    for name, rank in ranks.items():
        said = _find_in_pattern(path, config, "rank_pattern", name, config["r"])
        if said != rank:
            raise UserError(
                f"{path}: {name} has rank {rank} in {WEIGHTS} and {said:g} here; the two files are "
                "of different adapters"
            )
        alphas[name] = _find_in_pattern(path, config, "alpha_pattern", name, config["lora_alpha"])
    return alphas


def _find_in_pattern(
    path: Path, config: dict[str, Any], key: str, name: str, default: float
) -> float:
    """Give the first pattern's value that matches the end of a module's name.

    Source: PEFT 0.21.2, utils/other.py, get_pattern_key.
    """
    for pattern, value in (config.get(key) or {}).items():
        try:
            # The same patterns as re's, and a stranger's may take for ever on a name.
            if regex.match(rf"(?:.*\.)?(?:{pattern})$", name, timeout=PATTERN_SECONDS):
                return float(value)
        except (regex.error, TimeoutError) as error:
            fault = "no pattern" if isinstance(error, regex.error) else "which takes too long"
            raise UserError(f"{path}: {key} holds {pattern!r:.60}, {fault}; correct it") from None
    return float(default)


def _find_subset(names: set[str], model: nn.Module) -> tuple[Subset, bool]:
    """Name the adapted layers as modules and blocks, and say whether that names no other layer."""
    found = {name.rpartition(".")[2] for name in names}
    modules = tuple(m for m in ALL_PROJECTIONS if m in found)
    modules += tuple(sorted(found - set(modules)))
    blocks = {block for name in names if (block := block_of(name)) is not None}
    linears = list_linears(model)
    for subset in (Subset(modules), Subset(modules, tuple(sorted(blocks)))):
        if {name for name in linears if covers(subset, name)} == names:
            return subset, True
    return subset, False
