"""How much memory a group will need, found by running a step whose tensors have no contents.

PyTorch's fake tensors go through the very code of a training step, on any model, and each tensor's
bytes are counted from its birth to its death. So the figure follows the code by itself.
"""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import PreTrainedModel

from rankshift.arms import Arm
from rankshift.data.batches import lay_rows
from rankshift.data.rendering import Rendered
from rankshift.grid import OptimizerName
from rankshift.model.checkpointing import checkpoint_layers, list_layers
from rankshift.model.forms import prefer_forms
from rankshift.model.traits import Traits
from rankshift.train.step import divide_passes, reading, sum_losses
from rankshift.train.trainee import Trainee, prepare_adapters, prepare_full


@dataclass(frozen=True)
class Memory:
    """Bytes of tensors at the worst moment of a group's training."""

    base: int
    """The weights that all arms share, as far as one process holds them; of a full finetune its
    own."""
    adapters: int
    gradients: int
    """Of the trainable weights of all arms."""
    optimizer: int
    """Adam's two moments; SGD has none."""
    activations: int
    """What one pass keeps for its backward pass and makes on the way, logits included."""

    @property
    def total(self) -> int:
        """Sum the parts."""
        return sum(asdict(self).values())


@dataclass(frozen=True)
class Work:
    """What goes through the model at a time, and how."""

    lengths: tuple[int, ...]
    """Tokens of the rows of one arm in the largest micro-batch."""
    arms_per_pass: int
    traits: Traits
    """How rows are laid out."""
    checkpointing: bool = False
    """Whether layers are computed again in the backward pass."""
    optimizer: OptimizerName = "adamw"
    """Decides what moments take."""
    shards: int = 1
    """Processes that hold the base together."""


def estimate_memory(
    build_model: Callable[[], PreTrainedModel], arms: Sequence[Arm], work: Work
) -> Memory:
    """Estimate what the tensors of a group take when it trains.

    Args:
        build_model: Makes the base without contents; called where tensors are fake. A base in 4
            bits is taken for one that is not, so the estimate is then too high.
        arms: Of the group, all of one method.
        work: What goes through the model at a time.
    """
    with FakeTensorMode(allow_non_fake_inputs=True), _Count() as count:
        model = build_model()
        if work.checkpointing:
            checkpoint_layers(model)
        base = count.now
        if arms[0].method == "full":
            trainee = prepare_full(model, work.traits, arms[0].subset)
            base = count.now  # of a bfloat16 model there are float32 copies now
        else:
            base -= count_spared(model, work.shards)
            trainee = prepare_adapters(model, list(arms), "", work.traits, draw=False)
        own = sum(tensor.nbytes for tensors in trainee.tensors for tensor in tensors)
        flat = sum(layer.lora_A.nbytes + layer.lora_B.nbytes for layer in trainee.layers)
        activations = max(
            _run_pass(trainee, chosen, work.lengths, count)
            for chosen in list_candidates([arm.rank or 0 for arm in arms], work.arms_per_pass)
        )
    adapters = 0 if arms[0].method == "full" else flat
    moments = {"adamw": 2 * own, "adamw_8bit": own // 2, "sgd": 0}
    return Memory(base, adapters, own, moments[work.optimizer], activations)


def count_spared(model: PreTrainedModel, shards: int) -> int:
    """Count the bytes of a base that one process of several does not hold.

    Of the layers it holds its part, and three whole ones at most: that which is computed, the next
    while it is gathered, and the first, which stays to the end of a backward pass.
    """
    sizes = [sum(p.nbytes for p in layer.parameters()) for layer in list_layers(model)]
    if shards == 1 or not sizes:
        return 0
    return max(0, sum(sizes) - sum(sizes) // shards - 3 * max(sizes))


def list_candidates(ranks: Sequence[int], arms_per_pass: int) -> set[range]:
    """Give the passes that could need the most: that of most rank, and that of most arms."""
    passes = divide_passes(len(ranks), arms_per_pass)

    def total(chosen: range) -> int:
        return sum(ranks[index] for index in chosen)

    return {
        max(passes, key=total),
        max(passes, key=lambda chosen: (len(chosen), total(chosen))),
    }


def _run_pass(trainee: Trainee, chosen: range, lengths: Sequence[int], count: "_Count") -> int:
    """Run some arms forth and back; give the bytes this takes beside weights and gradients.

    Rows carry loss on every token but the first. It is run as if it were the last pass: the
    gradients of the other arms are there.
    """
    rows = [Rendered((0,) * n, (False,) + (True,) * (n - 1), 0) for n in lengths]
    batch = lay_rows([rows] * len(chosen), 0, trainee.traits.packs)
    for layer in trainee.layers:
        layer.choose_forms(prefer_forms(layer, batch.token_ids.numel() // len(chosen)))
    for index, tensors in enumerate(trainee.tensors):
        for tensor in tensors:
            tensor.grad = None if index in chosen else torch.empty_like(tensor)
    count.peak = before = count.now
    with reading(trainee):
        trainee.select(chosen)
        sum_losses(trainee, batch).sum().backward()
    return count.peak - before - sum(t.nbytes for index in chosen for t in trainee.tensors[index])


class _Count(TorchDispatchMode):
    """Adds up the bytes of all tensors that are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Note the tensors that an operation made."""
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._note(tensor)
        return out

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.known:
            self.known[key] = storage.nbytes()
            self.now += self.known[key]
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self.known.pop(key)
