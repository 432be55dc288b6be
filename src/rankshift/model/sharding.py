"""A base of which each process of a team holds a part: its decoder layers, sharded by FSDP2.

A layer is gathered when it is reached and let go after it, forth and back. What is outside of the
layers (embeddings, the last norm, the output head) each process holds whole: the head is used
beside the model's own forward pass, and FSDP2 would hold these whole from one end of a pass to
the other.

Source: torch.distributed.fsdp.fully_shard; Zhao et al. 2023, arXiv:2304.11277.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from rankshift.errors import UserError
from rankshift.model.checkpointing import list_layers
from rankshift.model.loading import build_untrained
from rankshift.model.team import Team
from rankshift.model.tensor_files import open_tensors, read_shapes


def load_sharded(directory: Path, dtype: torch.dtype, team: Team) -> PreTrainedModel:
    """Load a process's part of a causal language model, as `load_model` loads a whole one.

    Each process reads its own part of every tensor: none ever holds the whole.

    Raises:
        UserError: The directory holds no such model, not all of its weights, or has them under
            names that are not the model's.
    """
    with torch.device("meta"):
        model = build_untrained(directory, dtype).requires_grad_(requires_grad=False)
    mesh = init_device_mesh("cpu", (team.size,))
    shard_layers(model, mesh, directory)
    model.to_empty(device="cpu")
    model.tie_weights()
    _fill(model, directory, team)
    _compute_buffers(model)
    return model.eval()


def shard_layers(model: PreTrainedModel, mesh: DeviceMesh, directory: Path) -> None:
    """Shard every decoder layer by the first dimension of its parameters.

    Raises:
        UserError: The model has no layers that are told apart.
    """
    layers = list_layers(model)
    if not layers:
        raise UserError(
            f"{directory}: has no decoder layers that transformers tells apart, so it cannot be "
            "held in shards; set compute.shards = 1"
        )
    inside = {parameter for layer in layers for parameter in layer.parameters()}
    outside = {parameter for parameter in model.parameters() if parameter not in inside}
    for layer in reversed(layers):  # a layer within another comes after it
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    # The whole model is the root that lets every layer go at the end of a backward pass.
    fully_shard(model, mesh=mesh, ignored_params=outside)


def is_sharded(tensor: Tensor) -> bool:
    """Say whether this process holds a part of a tensor only."""
    return isinstance(tensor, DTensor)


def gather(tensor: Tensor) -> Tensor:
    """Give a tensor whole; every process of the team must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def hold(tensor: Tensor) -> Tensor:
    """Give what this process holds of a tensor, in the same memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


@torch.no_grad()
def _fill(model: PreTrainedModel, directory: Path, team: Team) -> None:
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    wanted = {n: t for n, t in model.state_dict(keep_vars=True).items() if n not in tied}
    found = {}
    for path in sorted(directory.glob("*.safetensors")):
        found |= dict.fromkeys(read_shapes(path), path)
    missing = sorted(wanted.keys() - found.keys())
    if missing:
        raise UserError(
            f"{directory}: its weights lack {missing[0]}; the copy is not whole, or its tensors "
            "have older names, which cannot be read in shards: load it with transformers and save "
            "it again"
        )
    for name, part in _read_parts(wanted, found, team):
        hold(wanted[name]).copy_(part)


def _read_parts(
    wanted: Mapping[str, Tensor], found: Mapping[str, Path], team: Team
) -> Iterator[tuple[str, Tensor]]:
    """Yield this process's part of each tensor: the rows that torch.chunk would give it."""
    for path in sorted({found[name] for name in wanted}):
        with open_tensors(path) as file:
            for name in (name for name in wanted if found[name] == path):
                if not is_sharded(wanted[name]):
                    yield name, file.get_tensor(name)
                    continue
                rows = wanted[name].shape[0]
                each = -(-rows // team.size)
                start = min(team.place * each, rows)
                yield name, file.get_slice(name)[start : min(start + each, rows)]


def _compute_buffers(model: PreTrainedModel) -> None:
    """Compute what is in no file, such as the frequencies of rotary positions.

    Source: transformers' own loading, PreTrainedModel._initialize_missing_keys: what carries this
    mark is left as it is.
    """
    for tensor in model.state_dict(keep_vars=True).values():
        tensor.__dict__["_is_hf_initialized"] = True
    model.initialize_weights()
