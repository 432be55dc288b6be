"""The LoRA update of every arm of a group, over one frozen linear layer.

y = x W^T + s (x A^T) B^T, with s = alpha/rank or alpha/sqrt(rank). The arms' factors lie side by
side in two flat buffers, A `[R, d_in]` and B `[R, d_out]` with R the sum of the ranks: ragged in
rank, no padding. Rows of a batch come arm by arm, so the base is one matrix product over all arms'
tokens.

Source: Hu et al. 2021, arXiv:2106.09685, section 4.1; the square root is rsLoRA, Kalajdzievski
2023, arXiv:2312.03732.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rankshift.errors import UserError


@dataclass(frozen=True)
class AdapterShape:
    """Rank and scale of one arm's adapter; rank 0 is the bare base."""

    rank: int
    scale: float = 0.0
    seed: int = 0
    """Seeds the first A; the first rows of a rank are those of every smaller rank of the seed."""


@dataclass(frozen=True)
class Segment:
    """Where one arm's rows lie in the flat buffers."""

    start: int
    stop: int
    scale: float


def lay_out(shapes: Sequence[AdapterShape]) -> tuple[Segment, ...]:
    """Put the arms' ranks one after another."""
    segments: list[Segment] = []
    start = 0
    for shape in shapes:
        segments.append(Segment(start, start + shape.rank, shape.scale))
        start += shape.rank
    return tuple(segments)


class AddAdapters(torch.autograd.Function):
    """Add every arm's s (x A^T) B^T to the base's output, arm by arm, in place.

    Written by hand because slices of one flat parameter would each send back a gradient as large
    as the whole buffer.
    """

    @staticmethod
    def forward(ctx, base_output, x, lora_A, lora_B, segments):
        """Take x `[arm, token, d_in]` and base_output `[arm, token, d_out]`; give the sum."""
        shrunk = []
        for arm, segment in enumerate(segments):
            part = x[arm] @ lora_A[segment.start : segment.stop].t()
            if segment.stop > segment.start:
                factor = lora_B[segment.start : segment.stop]
                base_output[arm].addmm_(part, factor, alpha=segment.scale)
            shrunk.append(part)
        ctx.segments = segments
        ctx.mark_dirty(base_output)
        ctx.save_for_backward(x, lora_A, lora_B, *shrunk)
        return base_output

    @staticmethod
    def backward(ctx, *grad_outputs):
        """Give gradients for the base's output, x, A and B."""
        (grad_output,) = grad_outputs
        x, lora_A, lora_B, *shrunk = ctx.saved_tensors
        needs_x = ctx.needs_input_grad[1]
        grad_x = torch.empty_like(x) if needs_x else None
        grad_A, grad_B = torch.empty_like(lora_A), torch.empty_like(lora_B)
        for arm, segment in enumerate(ctx.segments):
            rows = slice(segment.start, segment.stop)
            grad = grad_output[arm]
            grad_shrunk = (grad @ lora_B[rows].t()).mul_(segment.scale)
            torch.mm(shrunk[arm].t() * segment.scale, grad, out=grad_B[rows])
            torch.mm(grad_shrunk.t(), x[arm], out=grad_A[rows])
            if grad_x is not None:
                torch.mm(grad_shrunk, lora_A[rows], out=grad_x[arm])
        return grad_output, grad_x, grad_A, grad_B, None


class LockStepLinear(nn.Module):
    """A frozen linear layer with the adapters of every arm of a group."""

    def __init__(self, linear: nn.Linear, name: str, shapes: Sequence[AdapterShape]) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(requires_grad=False)
        self.name = name
        self.segments = lay_out(shapes)
        device = linear.weight.device
        first = [draw_first_factor(shape, name, linear.in_features) for shape in shapes]
        total = sum(shape.rank for shape in shapes)
        self.lora_A = nn.Parameter(torch.cat(first).to(device))
        self.lora_B = nn.Parameter(torch.zeros(total, linear.out_features, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """Take `[arm * row, ..., d_in]`, rows arm by arm; give `[arm * row, ..., d_out]`."""
        base_output = self.linear(x)
        num_arms = len(self.segments)
        y = AddAdapters.apply(
            base_output.view(num_arms, -1, base_output.shape[-1]),
            x.reshape(num_arms, -1, x.shape[-1]),
            self.lora_A.to(x.dtype),
            self.lora_B.to(x.dtype),
            self.segments,
        )
        return y.view(base_output.shape)


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
    """Replace every target linear layer of a model by its lock-step layer, and freeze all else.

    Args:
        model: Any model; a linear layer is a target when the last part of its name is one.
        shapes: One for each arm, in the order of the rows.
        target_modules: Last parts of module names, as in PEFT.

    Raises:
        UserError: A target matches no linear layer.
    """
    model.requires_grad_(requires_grad=False)
    layers = []
    for name, linear in find_targets(model, target_modules).items():
        parent, _, last = name.rpartition(".")
        layer = LockStepLinear(linear, name, shapes)
        setattr(model.get_submodule(parent), last, layer)
        layers.append(layer)
    return layers


def find_targets(model: nn.Module, target_modules: Sequence[str]) -> dict[str, nn.Linear]:
    """Find the linear layers that the targets name, in the model's order.

    The output head is none of them: it sees the supervised tokens alone, as many as each arm has,
    so its rows do not divide evenly among the arms.

    Raises:
        UserError: A target matches no linear layer; names those there are.
    """
    head = model.get_output_embeddings() if isinstance(model, PreTrainedModel) else None
    linears = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }
    available = sorted({name.rpartition(".")[2] for name in linears})
    for target in target_modules:
        if target not in available:
            raise UserError(
                f"grid.target_modules: `{target}` matches no linear layer of the base, its output "
                f"head aside; it has {', '.join(available)}"
            )
    return {n: m for n, m in linears.items() if n.rpartition(".")[2] in target_modules}


def effective_ranks(model: nn.Module, rank: int, target_modules: Sequence[str]) -> dict[str, int]:
    """Give the rank that each target can really reach: at most its smaller width."""
    return {
        name: min(rank, linear.in_features, linear.out_features)
        for name, linear in find_targets(model, target_modules).items()
    }
