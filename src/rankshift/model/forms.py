"""Which form of the update is the fastest for each layer and arm: measured once, then kept.

Forms differ in the last bits of a result, so a choice is written down before the first step and
used again on resume. Measured again, two forms of nearly one speed could change places: the choice
is also kept for the machine, so that the same study gives the same bits there.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast, get_args

import torch
from filelock import FileLock
from torch import Tensor, nn

from rankshift.atomic import write_atomically
from rankshift.model.adapters import ROW_MULTIPLE, AdapterShape, LockStepLinear, lay_out
from rankshift.model.operations import DTypeName, count_dense, count_thin
from rankshift.model.products import Form, LockStepProduct, divide_runs
from rankshift.provenance import name_cpu

REPEATS = 7
"""Timings of each form, in turn; the shortest counts, for other work can only lengthen one."""
MARGIN = 0.9
"""Another form than the loop must take at most this share of its time."""


@dataclass(frozen=True)
class LayerShape:
    """What decides how fast the forms of a layer are, the machine aside."""

    d_in: int
    d_out: int
    ranks: tuple[int, ...]
    tokens: int
    """Of one arm in one forward pass."""
    dtype: DTypeName


def settle_forms(layers: Sequence[LockStepLinear], tokens: int, path: Path, shelf: Path) -> None:
    """Give every layer its forms: those of `path`, or else those measured before, or now.

    Args:
        layers: The lock-step layers of a group.
        tokens: Of one arm in one forward pass.
        path: Where the group's choice is kept; written when it is not there.
        shelf: Folder where choices are kept for this machine.
    """
    if not layers:
        return
    if not path.is_file():
        by_shape: dict[LayerShape, list[Form]] = {}
        for layer in layers:
            shape = describe(layer, tokens)
            if shape not in by_shape:
                by_shape[shape] = recall_forms(shape, layer.lora_A.device, shelf)
        chosen = {layer.name: by_shape[describe(layer, tokens)] for layer in layers}
        _write_choice(path, tokens, chosen)
    content = json.loads(path.read_text(encoding="utf-8"))
    for layer in layers:
        layer.choose_forms(content["layers"][layer.name])


def note_loops(layers: Sequence[LockStepLinear], tokens: int, path: Path) -> None:
    """Write down, as `settle_forms` does, that every arm of every layer is computed in a loop."""
    if layers and not path.is_file():
        chosen = {layer.name: ["loop"] * len(layer.segments) for layer in layers}
        _write_choice(path, tokens, chosen)


def _write_choice(path: Path, tokens: int, chosen: Mapping[str, Sequence[str]]) -> None:
    content = {"tokens": tokens, "threads": torch.get_num_threads(), "layers": chosen}
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def describe(layer: LockStepLinear, tokens: int) -> LayerShape:
    """Give the shape of a layer."""
    return LayerShape(
        layer.linear.in_features,
        layer.linear.out_features,
        tuple(segment.stop - segment.start for segment in layer.segments),
        tokens,
        cast("DTypeName", str(layer.linear.weight.dtype).removeprefix("torch.")),
    )


def recall_forms(shape: LayerShape, device: torch.device, shelf: Path) -> list[Form]:
    """Give the forms measured on this machine before, or measure them and keep them."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    facts = asdict(shape) | {
        "processor": gpu or name_cpu(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    path = shelf / f"{key}.json"
    shelf.mkdir(parents=True, exist_ok=True)
    with FileLock(shelf / f"{key}.lock"):  # two workers that measured at once could differ
        if path.is_file():
            kept = json.loads(path.read_text(encoding="utf-8"))["forms"]
            if len(kept) == len(shape.ranks) and set(kept) <= set(get_args(Form)):
                return kept
        forms = measure_forms(shape, device)
        write_atomically(path, json.dumps(facts | {"forms": forms}, indent=1) + "\n")
    return forms


def measure_forms(shape: LayerShape, device: torch.device) -> list[Form]:
    """Choose among the forms that could be the fastest, by trials on random numbers.

    The dense form is tried where `dense_is_less_work`; the other arms are then computed in a loop
    or, all together, grouped.
    """
    forms: dict[int, Form] = dict.fromkeys(shape.ranks, "loop")
    for rank in forms:
        if dense_is_less_work(shape, rank):
            forms[rank] = pick_form(shape, (rank,), "dense", device)
    thin = tuple(rank for rank in shape.ranks if rank and forms[rank] == "loop")
    if len(thin) > 1 and has_grouped(shape, device):
        forms |= dict.fromkeys(thin, pick_form(shape, thin, "grouped", device))
    return [forms[rank] for rank in shape.ranks]


def pick_form(shape: LayerShape, ranks: tuple[int, ...], other: Form, device: torch.device) -> Form:
    """Time forward and backward of arms of these ranks in a loop and in another form."""
    trials = [build_trial(shape, ranks, form, device) for form in ("loop", other)]
    for trial in trials:
        trial()
    seconds = [[_clock(trial, device) for trial in trials] for _ in range(REPEATS)]
    loop, challenger = (min(column) for column in zip(*seconds, strict=True))
    return other if challenger < MARGIN * loop else "loop"


def prefer_forms(layer: LockStepLinear, tokens: int) -> list[Form]:
    """Give the forms with the fewest operations, which a trial mostly confirms."""
    shape = describe(layer, tokens)
    return ["dense" if dense_is_less_work(shape, rank) else "loop" for rank in shape.ranks]


def dense_is_less_work(shape: LayerShape, rank: int) -> bool:
    """Say whether forming s B A needs fewer operations than the thin products of a rank."""
    widths = shape.d_in, shape.d_out
    dense = count_dense(widths, shape.tokens, rank, shape.dtype)
    return dense < count_thin(widths, shape.tokens, rank)


def has_grouped(shape: LayerShape, device: torch.device) -> bool:
    """Say whether this torch has ragged grouped products for the shape, on this device."""
    if not hasattr(torch.nn.functional, "grouped_mm") or shape.dtype == "float64":
        return False
    if shape.d_in % ROW_MULTIPLE or shape.d_out % ROW_MULTIPLE:
        return False
    return device.type == "cpu" or shape.dtype == "bfloat16"


def build_trial(
    shape: LayerShape, ranks: tuple[int, ...], form: Form, device: torch.device
) -> Callable[[], None]:
    """Make a function that runs a layer forth and back on random numbers."""
    dtype = getattr(torch, shape.dtype)
    generator = torch.Generator().manual_seed(0)

    def draw(*sizes: int) -> Tensor:
        return torch.randn(sizes, generator=generator).to(device, dtype)

    segments = lay_out([AdapterShape(rank, scale=1.0) for rank in ranks])
    forms: list[Form] = [form] * len(ranks)
    runs = divide_runs(segments, forms)
    total = segments[-1].padded_stop
    x = draw(len(ranks), shape.tokens, shape.d_in).requires_grad_()
    flat = draw(total, shape.d_in), draw(total, shape.d_out)
    factors = [f[s.rows].detach().requires_grad_() for s in segments for f in flat]
    linear = nn.Linear(shape.d_in, shape.d_out, bias=False, device=device, dtype=dtype)
    grad_y = draw(len(ranks), shape.tokens, shape.d_out)

    def run() -> None:
        LockStepProduct.apply(x, linear, runs, flat, *factors).backward(grad_y)

    return run


def _clock(run: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
