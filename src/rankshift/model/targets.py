"""Which linear layers of a base adapters go on."""

import re

from torch import nn
from transformers import PreTrainedModel

from rankshift.errors import UserError
from rankshift.grid import Subset
from rankshift.model.quantization import Nf4Linear

Linear = nn.Linear | Nf4Linear

BLOCK = re.compile(r"(?:^|.*?\.)(?P<list>[^.]+)\.(?P<number>\d+)\.")
"""The first numbered part of a module's name is its block: of two, the second is an expert's.
Source: PEFT, tuners/tuners_utils.py, check_target_module_exists."""


def find_targets(model: nn.Module, subset: Subset) -> dict[str, Linear]:
    """Find the linear layers of a subset, in the model's order.

    The output head is none of them: it sees the supervised tokens alone, as many as each arm has,
    so its rows do not divide evenly among the arms.

    Raises:
        UserError: A target or a block matches no linear layer; names those there are.
    """
    linears = list_linears(model)
    available = sorted({name.rpartition(".")[2] for name in linears})
    for target in subset.target_modules:
        if target not in available:
            raise UserError(
                f"grid.target_modules: `{target}` matches no linear layer of the base, its output "
                f"head aside; it has {', '.join(available)}"
            )
    blocks = sorted({number for name in linears if (number := block_of(name)) is not None})
    for number in subset.layers:
        if number not in blocks:
            last = f"they are numbered from 0 to {blocks[-1]}" if blocks else "it has none"
            raise UserError(f"grid.layers: the base has no layer {number}; {last}")
    found = {name: linear for name, linear in linears.items() if covers(subset, name)}
    for target in subset.target_modules:
        if not any(name.rpartition(".")[2] == target for name in found):
            raise UserError(
                f"grid.target_modules: `{target}` matches no linear layer in "
                f"layers {', '.join(map(str, subset.layers))}; leave it out or add layers"
            )
    return found


def covers(subset: Subset, name: str) -> bool:
    """Say whether a linear layer of a name is in a subset."""
    is_target = name.rpartition(".")[2] in subset.target_modules
    return is_target and (not subset.layers or block_of(name) in subset.layers)


def block_of(name: str) -> int | None:
    """Give the number of the block that a module is in; None outside of them all."""
    match = BLOCK.match(name)
    return int(match["number"]) if match else None


WRITERS = ("o_proj", "down_proj", "out_proj", "c_proj", "dense", "fc2", "dense_4h_to_h")
"""Last parts of the names of linear layers whose output is added to the residual stream.

Source: transformers' models of Llama, Qwen2, Qwen3, Mistral, Gemma, Phi, OPT, GPT-2 and GPT-NeoX.
"""


def find_written_block(name: str) -> int | None:
    """Give the number of the block in which a linear layer writes to the residual stream.

    None for a layer that does not, by its name; one whose output is not as wide does not either.
    """
    return block_of(name) if name.rpartition(".")[2] in WRITERS else None


def list_of_blocks(name: str) -> str | None:
    """Give the name of the list that holds the block a module is in; None outside of them all."""
    match = BLOCK.match(name)
    return match["list"] if match else None


def effective_ranks(model: nn.Module, rank: int, subset: Subset) -> dict[str, int]:
    """Give the rank that each target can really reach: at most its smaller width.

    Without target modules, as of a whole model, these are all linear layers but the head.
    """
    found = find_targets(model, subset) if subset.target_modules else list_linears(model)
    return {
        name: min(rank, linear.in_features, linear.out_features) for name, linear in found.items()
    }


def list_linears(model: nn.Module) -> dict[str, Linear]:
    """List every linear layer by name, in the model's order, its output head left out."""
    head = model.get_output_embeddings() if isinstance(model, PreTrainedModel) else None
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, Linear) and module is not head
    }
