"""The LoRA update of every arm of a group, over one frozen linear layer.

y = x W^T + s (x A^T) B^T, with s = alpha/rank or alpha/sqrt(rank). The arms' factors lie side by
side in two flat buffers, A `[R, d_in]` and B `[R, d_out]` with R the sum of the ranks, each rounded
up to a multiple of 8: ragged in rank, never padded to the largest. Rows of a batch come arm by arm,
so the base is one matrix product over all arms' tokens. `model/products` computes it.

Source: Hu et al. 2021, arXiv:2106.09685, section 4.1; the square root is rsLoRA, Kalajdzievski
2023, arXiv:2312.03732.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from rankshift.grid import Subset
from rankshift.model.products import Form, LockStepProduct, Segment, divide_runs
from rankshift.model.targets import Linear, covers, find_targets

ROW_MULTIPLE = 8
"""Grouped products want each arm to begin at a multiple of 16 bytes; 8 rows of bfloat16 are that.
Source: PyTorch's aten/src/ATen/native/cuda/GroupMMCommon.cuh."""


@dataclass(frozen=True)
class AdapterShape:
    """Rank and scale of one arm's adapter; rank 0 is the bare base."""

    rank: int
    scale: float = 0.0
    seed: int | None = 0
    """Seeds the first A; the first rows of a rank are those of every smaller rank of the seed. None
    draws nothing, where numbers do not matter."""
    subset: Subset | None = None
    """Which of its group's targets it goes on; None is all of them."""
    by_layer: Mapping[str, tuple[int, float]] | None = None
    """Rank and scale by the full name of the layer, in place of all that; a layer that is not named
    has no adapter."""

    def at(self, layer: str) -> "AdapterShape":
        """Give what the arm has on one layer: rank 0 where it is not adapted."""
        if self.by_layer is not None:
            rank, scale = self.by_layer.get(layer, (0, 0.0))
            return AdapterShape(rank, scale, self.seed)
        is_covered = self.subset is None or covers(self.subset, layer)
        return self if is_covered else replace(self, rank=0)


def lay_out(shapes: Sequence[AdapterShape]) -> tuple[Segment, ...]:
    """Put the arms' rows one after another, each padded with rows of zeros."""
    segments: list[Segment] = []
    start = 0
    for shape in shapes:
        stop = start + shape.rank
        padded_stop = start + -(-shape.rank // ROW_MULTIPLE) * ROW_MULTIPLE
        segments.append(Segment(start, stop, padded_stop, shape.scale))
        start = padded_stop
    return tuple(segments)


class LockStepLinear(nn.Module):
    """A frozen linear layer with the adapters of every arm of a group."""

    def __init__(self, linear: Linear, name: str, shapes: Sequence[AdapterShape]) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(requires_grad=False)
        self.name = name
        self.shapes = tuple(shapes)
        self.segments = lay_out(shapes)
        device, total = linear.weight.device, self.segments[-1].padded_stop
        self.lora_A = torch.zeros(total, linear.in_features, device=device)
        self.lora_B = torch.zeros(total, linear.out_features, device=device)
        for shape, segment in zip(shapes, self.segments, strict=True):
            if shape.seed is not None:
                drawn = draw_first_factor(shape, name, linear.in_features)
                self.lora_A[segment.rows] = drawn.to(device)
        flats = self.lora_A, self.lora_B
        self.factors = [
            tuple(flat[segment.rows].detach().requires_grad_() for flat in flats if segment.rank)
            for segment in self.segments
        ]
        """Each arm's A `[rank, d_in]` and B `[rank, d_out]`, trained in the buffers' memory; none
        where the arm does not adapt this layer."""
        self.forms: list[Form] = ["loop"] * len(shapes)
        self.select(range(len(shapes)))

    def choose_forms(self, forms: Sequence[Form]) -> None:
        """Say in which form each arm is computed; what is computed stays the same."""
        self.forms = list(forms)
        self.select(self.arms)

    def select(self, arms: range) -> None:
        """Say whose rows come next: neighbouring arms of the group."""
        self.arms = arms
        part = slice(arms.start, arms.stop)
        chosen = self.segments[part]
        self.rows = slice(chosen[0].start, chosen[-1].padded_stop)
        self.runs = divide_runs(lay_out(self.shapes[part]), self.forms[part])

    def forward(self, x: Tensor) -> Tensor:
        """Take `[arm * row, ..., d_in]` of the selected arms; give `[arm * row, ..., d_out]`.

        The factors are kept in float32 and used in the type of x.
        """
        y = LockStepProduct.apply(
            x.reshape(len(self.arms), -1, x.shape[-1]),
            self.linear,
            self.runs,
            (self.lora_A[self.rows].to(x.dtype), self.lora_B[self.rows].to(x.dtype)),
            *(factor for arm in self.arms for factor in self.factors[arm]),
        )
        return y.view(*x.shape[:-1], -1)


def draw_first_factor(shape: AdapterShape, module: str, d_in: int) -> Tensor:
    """Draw an arm's first A `[rank, d_in]`, uniform within 1/sqrt(d_in); B starts at zero.

    Keyed by seed and module name, so neither the order of construction nor a neighbour's rank can
    change it.

    Source: PEFT's default, kaiming_uniform_(a=sqrt(5)); peft/tuners/lora/layer.py,
    reset_lora_parameters.
    """
    digest = hashlib.sha256(f"{shape.seed} {module}".encode()).digest()
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
    bound = 1.0 / math.sqrt(d_in)
    draw = generator.random((shape.rank, d_in), dtype=np.float32)
    return torch.from_numpy(draw * np.float32(2 * bound) - np.float32(bound))


def insert_adapters(
    model: nn.Module, shapes: Sequence[AdapterShape], target_modules: Sequence[str]
) -> list[LockStepLinear]:
    """Replace every linear layer that an arm adapts by its lock-step layer, and freeze all else.

    An arm whose subset leaves a layer out has rank 0 in it.

    Args:
        model: Any model; a linear layer is a target when the last part of its name is one.
        shapes: One for each arm, in the order of the rows.
        target_modules: Last parts of module names, as in PEFT: all that any arm goes on.

    Raises:
        UserError: A target matches no linear layer.
    """
    model.requires_grad_(requires_grad=False)
    layers = []
    for name, linear in find_targets(model, Subset(tuple(target_modules))).items():
        own = [shape.at(name) for shape in shapes]
        if not any(shape.rank for shape in own):
            continue
        parent, _, last = name.rpartition(".")
        layer = LockStepLinear(linear, name, own)
        setattr(model.get_submodule(parent), last, layer)
        layers.append(layer)
    return layers
