"""What a model allows the engine, found by trying it on a dozen tokens."""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from rankshift.data.batches import TokenBatch, pack_rows
from rankshift.data.rendering import Rendered
from rankshift.model.packing import attention_to_documents

LENGTHS = (5, 7)
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 3e-2}
"""How far packed logits may be from those of a document alone, relative to the largest: rounding.
What another document does to them is 1 or so."""


@dataclass(frozen=True)
class Traits:
    """How a model's rows may be laid out and its loss be computed."""

    packs: bool
    """Documents in one row do not see each other."""
    plain_head: bool
    """Its logits are those of its linear output head: no bias, scaling or soft-capping."""


def guess_traits(config: PreTrainedConfig) -> Traits:
    """Guess a model's traits from its config, where its weights are not at hand."""
    follows = ("final_logit_softcapping", "logit_scale", "logits_scaling")
    return Traits(
        packs=getattr(config, "sliding_window", None) is None,
        plain_head=not any(getattr(config, name, None) for name in follows),
    )


@torch.no_grad()
def find_traits(model: PreTrainedModel) -> Traits:
    """Try a model, before there are adapters in it."""
    rows = [Rendered(tuple(_count_up(model, n)), (False,) * (n - 1) + (True,), 0) for n in LENGTHS]
    packed = pack_rows([rows], 0).to(model.device)
    alone = [model(packed.token_ids[:, part], use_cache=False).logits for part in _spans()]
    return Traits(_packs(model, packed, torch.cat(alone, dim=1)), _has_plain_head(model, packed))


def _count_up(model: PreTrainedModel, length: int) -> range:
    assert model.get_input_embeddings().num_embeddings > length + sum(LENGTHS)  # pyright: ignore
    return range(length, 2 * length)


def _spans() -> tuple[slice, slice]:
    first, second = LENGTHS
    return slice(first), slice(first, first + second)


def _packs(model: PreTrainedModel, packed: TokenBatch, alone: Tensor) -> bool:
    if getattr(model.config, "sliding_window", None) is not None:
        return False  # its mask is more than causal, and a dozen tokens would not show it
    with attention_to_documents(model):
        try:
            together = model(**packed.inputs, use_cache=False).logits
        except TypeError:  # its forward takes no such argument
            return False
    difference = (together - alone).abs().max()
    return bool(difference <= TOLERANCE.get(model.dtype, 3e-2) * alone.abs().max())


def _has_plain_head(model: PreTrainedModel, packed: TokenBatch) -> bool:
    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear) or head.bias is not None:
        return False
    seen: list[Tensor] = []

    def keep(_: object, __: object, logits: Tensor) -> None:
        seen.append(logits)

    hook = head.register_forward_hook(keep)
    try:
        logits = model(packed.token_ids, use_cache=False).logits
    finally:
        hook.remove()
    return torch.equal(logits, seen[0])
