"""Which engine of vLLM answers for which arms: adapters by rank, whole models one by one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CEILINGS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What `max_lora_rank` may be: every adapter of an engine takes the room and time of the highest.
Source: vLLM 0.32.0, config/lora.py, MaxLoRARanks (1 is left out)."""

ANSWERS_A_CALL = 2048
ADAPTERS_A_CALL = 16
"""A call of the engine ends with the first of these: the host holds so many adapters beside it."""

ADAPTERS_AT_ONCE = 4
"""Adapters that decode together (`max_loras`); each has room of its own in every layer."""

Kind = Literal["base", "adapter", "merged", "model"]
"""`merged` is an adapter that goes into a copy of the base's weights: vLLM does not take it."""


@dataclass(frozen=True)
class Due:
    """An arm at a checkpoint that is to answer."""

    arm: str
    label: str
    step: int
    kind: Kind
    folder: Path | None = None
    """Of its weights; None of the base."""
    rank: int | None = None
    """Of an adapter, the largest."""

    @property
    def key(self) -> str:
        """Name it among others."""
        return f"{self.arm}-{self.step}"


@dataclass(frozen=True)
class Bucket:
    """What one engine answers, in this order."""

    due: tuple[Due, ...]
    max_rank: int | None
    """None where it holds no adapters."""


def choose_kind(rank: int) -> Kind:
    """Say how an adapter is run: beyond the highest ceiling it is merged."""
    return "merged" if rank > CEILINGS[-1] else "adapter"


def fill_buckets(due: Sequence[Due]) -> list[Bucket]:
    """Put adapters of about one rank together; the base and whole models have engines without any.

    Nobody's answers are asked in two engines.
    """
    buckets: dict[int, list[Due]] = {}
    for one in due:
        if one.kind == "adapter":
            assert one.rank is not None
            ceiling = next(ceiling for ceiling in CEILINGS if one.rank <= ceiling)
            buckets.setdefault(ceiling, []).append(one)
    filled = [Bucket((one,), None) for one in due if one.kind == "base"]
    filled += [Bucket(tuple(buckets[ceiling]), ceiling) for ceiling in sorted(buckets)]
    return filled + [Bucket((one,), None) for one in due if one.kind in ("merged", "model")]


def divide_due(due: Sequence[Due], answers: Sequence[int]) -> Iterator[range]:
    """Divide what a bucket answers into calls of the engine: neighbours, by how many answers each.

    An arm's answers are kept when its call ends, so a call is as long as keeps the engine busy and
    no longer.
    """
    start = total = 0
    for place, number in enumerate(answers):
        total += number
        if total >= ANSWERS_A_CALL or place + 1 - start == ADAPTERS_A_CALL:
            yield range(start, place + 1)
            start, total = place + 1, 0
    if start < len(due):
        yield range(start, len(due))
