"""Whether a group's training fits into the memory of a worker, and how it must be run to do so."""

import ctypes
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from rankshift.arms import Arm
from rankshift.data.batches import draw_rows
from rankshift.errors import UserError
from rankshift.executor.devices import find_device, share_gpu_bytes
from rankshift.executor.plan import Fit
from rankshift.model.loading import build_untrained, load_skeleton
from rankshift.model.traits import Traits, guess_traits
from rankshift.study import Compute, Training
from rankshift.train.memory import Memory, Work, estimate_memory

GIB = 2**30
PASS_TOKENS = 2048
"""Tokens that go through the model together on a CPU. With 576 an arm and 4 layers of 256, steps of
1, 2, 3 and 6 arms at a time took the same within 10 %, 3 the least; 64 an arm gain from company."""
LEAST_GPU_TOKENS = 2048
"""On a GPU arms are taken together as far as memory allows; with fewer tokens a pass it idles."""
PROCESS_BYTES = 400 * 2**20
"""What Python, torch and transformers take before there is a model: 370 MiB with torch 2.13."""
FREE_SHARE = 0.9
MMAP_BYTES = 2**18
"""Blocks from this size on are the system's own, each for itself."""
ALLOCATOR_SLACK = 1.7
"""How far a process's peak may lie above its tensors' where the C library keeps what was freed:
1.15 to 1.6 times on seven shapes."""


@dataclass(frozen=True)
class Room:
    """What one process may use."""

    bytes: int
    device: str = "cpu"
    """The kind of device whose memory it is."""

    def __str__(self) -> str:
        return f"{self.bytes / GIB:.1f}{' on its GPU' if self.device == 'cuda' else ''}"


def find_room(compute: Compute) -> Room:
    """Find what each process of each worker may use.

    Raises:
        UserError: It is of GPUs that are not here, and the study does not say how much it is.
    """
    device, processes = find_device(compute).type, compute.workers * compute.shards
    if compute.memory_gib is not None:
        return Room(int(compute.memory_gib * GIB / processes), device)
    if device == "cpu":
        return Room(int(FREE_SHARE * read_free_bytes() / processes), device)
    if not torch.cuda.is_available():
        raise UserError(
            "groups are planned for GPUs, and there is none here to ask: set compute.memory_gib to "
            'what the GPUs of all workers have together, or compute.device = "cpu"'
        )
    return Room(int(FREE_SHARE * share_gpu_bytes(compute.workers)), device)


def read_free_bytes() -> int:
    """Give the bytes this process and its children could still take, a container's limit heeded."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    meminfo, group = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
    if meminfo.exists():
        lines = meminfo.read_text(encoding="ascii").splitlines()
        limits += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
    try:
        limit, used = ((group / f"memory.{name}").read_text() for name in ("max", "current"))
        limits.append(int(limit) - int(used))
    except (OSError, ValueError):  # no such group, or "max": no limit
        pass
    return max(0, min(limits))


def fit_arms(
    arms: Sequence[Arm],
    base: Path,
    training: Training,
    largest: tuple[int, ...],
    room: Room,
    shards: int = 1,
) -> Fit | None:
    """Find how arms that train together fit into a process's memory.

    Args:
        arms: All of one method and role, none of them the base.
        base: The base's directory.
        training: The recipe.
        largest: Tokens of the rows of an arm's largest micro-batch, rising.
        room: Of a process.
        shards: Processes that hold the base together and read the rows between them.

    Returns:
        Without checkpointing if they fit so; None if they do not fit at all.
    """
    most = -(-len(largest) // shards)
    largest = largest[-most:]  # no process of them reads more
    work = Work(
        lengths=largest,
        arms_per_pass=1,
        traits=_guess_traits(base),
        optimizer=arms[0].find_optimizer(training),
        shards=shards,
    )
    for arms_per_pass, checkpointing in list_ways(len(arms), sum(largest), room.device):
        way = replace(work, arms_per_pass=arms_per_pass, checkpointing=checkpointing)
        memory = _estimate(base, training.dtype, tuple(map(_strip, arms)), way, room.device)
        if memory.total + PROCESS_BYTES <= room.bytes:
            return Fit(way.arms_per_pass, way.checkpointing, shards, asdict(memory))
    return None


def list_ways(num_arms: int, tokens: int, device: str) -> list[tuple[int, bool]]:
    """List how to divide a step, best first: arms a pass, and whether layers are computed again.

    Args:
        num_arms: Of the group.
        tokens: Of one arm.
        device: What kind it computes on.
    """
    if device == "cpu":
        together = count_arms_per_pass(num_arms, tokens)
        return [(together, False), (together, True)]
    halves = [num_arms]
    while halves[-1] > 1:
        halves.append(-(-halves[-1] // 2))
    filling = [size for size in halves if size == num_arms or size * tokens >= LEAST_GPU_TOKENS]
    return [(size, False) for size in filling] + [(size, True) for size in halves]


def count_arms_per_pass(num_arms: int, tokens: int) -> int:
    """Give how many arms of so many tokens to take together: what the caches of a CPU hold."""
    return max(1, min(num_arms, PASS_TOKENS // tokens))


def is_tight(fit: Fit, room: Room) -> bool:
    """Say whether freed memory must go back to the system at once for a group to stay within."""
    on_cpu = room.device == "cpu"
    return on_cpu and ALLOCATOR_SLACK * fit.total_bytes + PROCESS_BYTES > room.bytes


def return_freed_memory() -> None:
    """Let the C library give large blocks back as soon as they are freed, if it is glibc.

    It keeps them otherwise, in pieces that fit nothing: half as much again as is in use. Asking the
    system anew costs a fifth of the time.

    Source: mallopt(3); M_MMAP_THRESHOLD is -3 in malloc.h.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(-3, MMAP_BYTES)


@lru_cache
def find_largest_batch(
    lengths: tuple[int, ...], training: Training, seeds: tuple[int, ...]
) -> tuple[int, ...]:
    """Give the rows' tokens in the micro-batch with the most, of any seed."""
    per_batch = training.rows_per_step // training.accumulation
    orders = [draw_rows(len(lengths), training.rows_per_step, training.steps, s) for s in seeds]
    batches = np.array(lengths)[np.concatenate(orders).reshape(-1, per_batch)]
    return tuple(sorted(batches[batches.sum(axis=1).argmax()].tolist()))


@lru_cache
def _guess_traits(base: Path) -> Traits:
    return guess_traits(load_skeleton(base).config)


@lru_cache
def _estimate(base: Path, dtype: str, arms: tuple[Arm, ...], work: Work, device: str) -> Memory:
    # A torch that knows no GPU has not its kernels' shapes either; the processor's are near.
    place = device if torch.cuda.is_available() else "cpu"

    def build() -> PreTrainedModel:
        with torch.device(place):
            return build_untrained(base, getattr(torch, dtype))

    return estimate_memory(build, arms, work)


def _strip(arm: Arm) -> Arm:
    """Leave of an arm what decides its memory, so that arms alike are tried once."""
    return replace(arm, role="task", dataset=None, alpha=None, learning_rate=None, seed=None)
