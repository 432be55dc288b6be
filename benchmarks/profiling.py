"""Where the time of a training step goes: each operation's own time, by what it is for."""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

Kind = Literal[
    "base products",
    "adapters' products",
    "loss and head",
    "attention",
    "norms and elementwise",
    "optimizer",
    "Python and other",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

PRODUCTS = {"aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm"}
OPTIMIZING = ("_fused_adamw", "_foreach_norm", "linalg_vector_norm", "AccumulateGrad")
"""Clipping's norms and the keeping of gradients are counted with the update."""
LOOKING_UP = ("embedding",)
"""Has the vocabulary among its sizes, and is neither loss nor head."""


@dataclass(frozen=True)
class Operation:
    """One call of an operation of torch."""

    name: str
    callers: tuple[str, ...]
    """From the nearest to the outermost."""
    sizes: tuple[tuple[int, ...], ...]
    """Of its tensors; empty for other arguments."""
    microseconds: float
    """Its own, what it calls left out."""


@dataclass(frozen=True)
class Profile:
    """One step, operation by operation."""

    seconds: float
    """Of the step, the profiler's own work included."""
    by_kind: dict[Kind, float]
    """Seconds; they add up to the whole."""


def sort_operation(operation: Operation, ranks: Container[int], vocabulary: int) -> Kind:
    """Say what an operation is for.

    A product of the base has tokens for its rows; those of the adapters have a rank's, or are added
    to something. A product with W + s B A is the base's. The head and the loss have the vocabulary
    among their sizes.

    Args:
        operation: The operation.
        ranks: Of the arms; none may be the number of tokens that go through the model together.
        vocabulary: How many tokens the head tells apart; no other size may be the same.
    """
    chain = (operation.name, *operation.callers)

    def within(*parts: str) -> bool:
        return any(part in name for part in parts for name in chain)

    if not operation.name.startswith("aten::"):
        return "Python and other"
    if within(*OPTIMIZING):
        return "optimizer"
    if within("scaled_dot_product", "ScaledDotProduct"):
        return "attention"
    if any(vocabulary in sizes for sizes in operation.sizes) and not within(*LOOKING_UP):
        return "loss and head"
    if operation.name in PRODUCTS or within("grouped_mm"):
        plain = operation.name == "aten::mm" and not within("grouped_mm")
        of_base = plain and operation.sizes[0][0] not in ranks
        return "base products" if of_base else "adapters' products"
    return "norms and elementwise"


def add_up(
    operations: Iterable[Operation], seconds: float, ranks: Container[int], vocabulary: int
) -> Profile:
    """Add up the operations of a step; what none of them took is Python's."""
    by_kind: dict[Kind, float] = dict.fromkeys(KINDS, 0.0)
    for operation in operations:
        by_kind[sort_operation(operation, ranks, vocabulary)] += operation.microseconds / 1e6
    by_kind["Python and other"] = 0.0
    by_kind["Python and other"] = seconds - sum(by_kind.values())
    return Profile(seconds, by_kind)


def make_recorder() -> tuple[Callable[[], None], Callable[[], list[Operation]]]:
    """Give what begins to record the operations of this process, and what ends it."""
    recording = profile(activities=[ProfilerActivity.CPU], record_shapes=True)

    def end() -> list[Operation]:
        recording.stop()
        return list_operations(recording.events() or [])

    return recording.start, end


def list_operations(events: Sequence[FunctionEvent]) -> list[Operation]:
    """Turn the profiler's events into operations."""
    return [
        Operation(
            event.name,
            _find_callers(event),
            tuple(tuple(sizes) for sizes in event.input_shapes or () if isinstance(sizes, list)),
            event.self_cpu_time_total,
        )
        for event in events
    ]


def _find_callers(event: FunctionEvent) -> tuple[str, ...]:
    names, caller = [], event.cpu_parent
    while caller is not None:
        names.append(caller.name)
        caller = caller.cpu_parent
    return tuple(names)
