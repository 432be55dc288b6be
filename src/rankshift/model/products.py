"""Three ways to compute every arm's y = x W^T + s (x A^T) B^T over one frozen W, and its gradients.

Rows of x come arm by arm, the same number for each. The forms differ in speed and, within rounding,
in nothing else:

- `loop`: two thin products an arm, added to the base's output in place.
- `grouped`: the thin products of all arms in one call each, ragged in rank.
- `dense`: s B A is formed once; in float32 it is added to W, so that the arm's tokens need one
  product instead of three, and the gradients of A and B come from the gradient of the sum.

In bfloat16 the dense form keeps s B A apart from W: added to it, an update smaller than the last
bit of a weight would be lost.

Of an arm whose A stays as it is, no form computes A's gradient.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Literal

import torch
from torch import Tensor

Form = Literal["loop", "grouped", "dense"]


@dataclass(frozen=True)
class Segment:
    """Where one arm's rows lie in the flat factors A `[R, d_in]` and B `[R, d_out]`."""

    start: int
    stop: int
    """End of the arm's rows."""
    padded_stop: int
    """Start of the next arm's; the rows between are zero and stay so."""
    scale: float
    trains_a: bool = True
    """Whether A has a gradient."""

    @property
    def rows(self) -> slice:
        """Give the arm's rows."""
        return slice(self.start, self.stop)

    @property
    def rank(self) -> int:
        """Give how many there are; 0 where the arm does not adapt the layer."""
        return self.stop - self.start


@dataclass(frozen=True)
class Run:
    """Neighbouring arms that are computed in one form, all with a gradient of A or all without."""

    form: Form
    arms: range
    segments: tuple[Segment, ...]

    @property
    def rows(self) -> slice:
        """Give the rows of all its arms in the flat factors, padding included."""
        return slice(self.segments[0].start, self.segments[-1].padded_stop)

    @property
    def trains_a(self) -> bool:
        """Say whether A has a gradient."""
        return self.segments[0].trains_a


def divide_runs(segments: Sequence[Segment], forms: Sequence[Form]) -> tuple[Run, ...]:
    """Join neighbouring arms that are computed alike."""
    runs, first = [], 0
    alike = zip(forms, (segment.trains_a for segment in segments), strict=True)
    for (form, _), members in groupby(alike):
        arms = range(first, first + len(list(members)))
        runs.append(Run(form, arms, tuple(segments[arms.start : arms.stop])))
        first = arms.stop
    return tuple(runs)


class LockStepProduct(torch.autograd.Function):
    """Every arm's product with its adapted weight; x, A, B and W are of one type.

    Written by hand so that arms can be taken together and the sums over base and adapter happen in
    place.
    """

    @staticmethod
    def forward(ctx, x, linear, runs, flat, *factors):
        """Give y `[arm, token, d_out]`.

        Args:
            ctx: Autograd's.
            x: `[arm, token, d_in]`.
            linear: The frozen layer.
            runs: Which arms are computed in which form.
            flat: A and B of all arms, in the type of x.
            factors: A and B of the first arm that has any, of the next, and so on: what the
                gradients go to.
        """
        lora_A, lora_B = flat
        weight = linear.weight
        y = x.new_empty(*x.shape[:2], len(weight))
        kept: list[Tensor] = []
        for run in runs:
            kept += _FORWARD[run.form](y, x, lora_A, lora_B, weight, run)
        if linear.bias is not None:
            y += linear.bias
        ctx.runs, ctx.linear, ctx.num_kept = runs, linear, [_count_kept(run) for run in runs]
        ctx.factor_dtype = factors[0].dtype if factors else x.dtype
        ctx.save_for_backward(x, lora_A, lora_B, *kept)
        return y

    @staticmethod
    def backward(ctx, *grad_outputs):
        """Give gradients for x and for every arm's B, and A where it is trained."""
        x, lora_A, lora_B, *kept = ctx.saved_tensors
        grad_y = grad_outputs[0].contiguous()
        grad_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        # Padded rows stay unwritten: no arm's factor has them.
        gradients = torch.empty_like(lora_A), torch.empty_like(lora_B)
        tensors = x, lora_A, lora_B, ctx.linear.weight
        for run, count in zip(ctx.runs, ctx.num_kept, strict=True):
            mine, kept = kept[:count], kept[count:]
            _BACKWARD[run.form](grad_x, gradients, grad_y, tensors, mine, run)
        grad_A, grad_B = (gradient.to(ctx.factor_dtype) for gradient in gradients)
        found: list[Tensor | None] = []
        for segment in (s for run in ctx.runs for s in run.segments if s.rank):
            found += [grad_A[segment.rows] if segment.trains_a else None, grad_B[segment.rows]]
        return grad_x, None, None, None, *found


def _count_kept(run: Run) -> int:
    return 1 if run.form == "grouped" else len(run.arms)


def _multiply_base(y: Tensor, x: Tensor, weight: Tensor, run: Run) -> None:
    arms = slice(run.arms.start, run.arms.stop)
    torch.mm(x[arms].flatten(0, 1), weight.t(), out=y[arms].view(-1, y.shape[-1]))


def _return_base(grad_x: Tensor, grad_y: Tensor, weight: Tensor, run: Run) -> None:
    arms = slice(run.arms.start, run.arms.stop)
    torch.mm(grad_y[arms].flatten(0, 1), weight, out=grad_x[arms].view(-1, grad_x.shape[-1]))


def _forward_loop(y, x, lora_A, lora_B, weight, run):
    """Keep s x A^T of every arm, `[token, rank]`."""
    _multiply_base(y, x, weight, run)
    kept = []
    for arm, segment in zip(run.arms, run.segments, strict=True):
        shrunk = _scaled_product(x[arm], lora_A[segment.rows].t(), segment.scale)
        y[arm].addmm_(shrunk, lora_B[segment.rows])
        kept.append(shrunk)
    return kept


def _backward_loop(grad_x, gradients, grad_y, tensors, kept, run):
    x, lora_A, lora_B, weight = tensors
    grad_A, grad_B = gradients
    if grad_x is not None:
        _return_base(grad_x, grad_y, weight, run)
    for arm, segment, shrunk in zip(run.arms, run.segments, kept, strict=True):
        rows = segment.rows
        grad_shrunk = _scaled_product(grad_y[arm], lora_B[rows].t(), segment.scale)
        torch.mm(shrunk.t(), grad_y[arm], out=grad_B[rows])
        if run.trains_a:
            torch.mm(grad_shrunk.t(), x[arm], out=grad_A[rows])
        if grad_x is not None:
            grad_x[arm].addmm_(grad_shrunk, lora_A[rows])


def _forward_grouped(y, x, lora_A, lora_B, weight, run):
    """Keep s x A^T of all arms side by side, `[token, R]`."""
    _multiply_base(y, x, weight, run)
    arms = slice(run.arms.start, run.arms.stop)
    ends = _group_ends(run, x.device)
    shrunk = torch.nn.functional.grouped_mm(x[arms], lora_A[run.rows].t(), offs=ends)
    shrunk = shrunk.mul_(_row_scales(run, x.device))
    y[arms] += torch.nn.functional.grouped_mm(shrunk, lora_B[run.rows], offs=ends)
    return [shrunk]


def _backward_grouped(grad_x, gradients, grad_y, tensors, kept, run):
    x, lora_A, lora_B, weight = tensors
    grad_A, grad_B = gradients
    (shrunk,) = kept
    arms, ends = slice(run.arms.start, run.arms.stop), _group_ends(run, x.device)
    multiply = torch.nn.functional.grouped_mm
    grad_shrunk = multiply(grad_y[arms], lora_B[run.rows].t(), offs=ends)
    grad_shrunk = grad_shrunk.mul_(_row_scales(run, x.device))
    grad_B[run.rows] = multiply(shrunk.t(), grad_y[arms], offs=ends)
    if run.trains_a:
        grad_A[run.rows] = multiply(grad_shrunk.t(), x[arms], offs=ends)
    if grad_x is not None:
        _return_base(grad_x, grad_y, weight, run)
        grad_x[arms] += multiply(grad_shrunk, lora_A[run.rows], offs=ends)


def _forward_dense(y, x, lora_A, lora_B, weight, run):
    """Keep W + s B A of every arm, or in bfloat16 s B A alone, `[d_out, d_in]`."""
    whole = _adds_to_weight(weight)
    kept = []
    for arm, segment in zip(run.arms, run.segments, strict=True):
        factors = lora_B[segment.rows].t(), lora_A[segment.rows]
        if whole:
            adapted = torch.addmm(weight, *factors, alpha=segment.scale)
            torch.mm(x[arm], adapted.t(), out=y[arm])
        else:
            adapted = _scaled_product(*factors, segment.scale)
            torch.mm(x[arm], weight.t(), out=y[arm])
            y[arm].addmm_(x[arm], adapted.t())
        kept.append(adapted)
    return kept


def _backward_dense(grad_x, gradients, grad_y, tensors, kept, run):
    x, lora_A, lora_B, weight = tensors
    grad_A, grad_B = gradients
    for arm, segment, adapted in zip(run.arms, run.segments, kept, strict=True):
        rows = segment.rows
        if grad_x is not None:
            torch.mm(grad_y[arm], adapted, out=grad_x[arm])
            if not _adds_to_weight(weight):
                grad_x[arm].addmm_(grad_y[arm], weight)
        grad_weight = _scaled_product(grad_y[arm].t(), x[arm], segment.scale)
        torch.mm(lora_A[rows], grad_weight.t(), out=grad_B[rows])
        if run.trains_a:
            torch.mm(lora_B[rows], grad_weight, out=grad_A[rows])


_FORWARD = {"loop": _forward_loop, "grouped": _forward_grouped, "dense": _forward_dense}
_BACKWARD = {"loop": _backward_loop, "grouped": _backward_grouped, "dense": _backward_dense}


def _adds_to_weight(weight: Tensor) -> bool:
    return weight.dtype in (torch.float32, torch.float64)


def _scaled_product(a: Tensor, b: Tensor, scale: float) -> Tensor:
    """Give scale * a b, rounded once."""
    product = a.new_empty(len(a), b.shape[1])
    return torch.addmm(product, a, b, beta=0, alpha=scale, out=product)


@cache
def _group_ends(run: Run, device: torch.device) -> Tensor:
    start = run.segments[0].start
    ends = [segment.padded_stop - start for segment in run.segments]
    return torch.tensor(ends, dtype=torch.int32, device=device)


@cache
def _row_scales(run: Run, device: torch.device) -> Tensor:
    scales = [segment.scale for segment in run.segments]
    counts = [segment.padded_stop - segment.start for segment in run.segments]
    return torch.repeat_interleave(torch.tensor(scales), torch.tensor(counts)).to(device)
