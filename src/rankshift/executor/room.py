"""Whether a group's training fits into the memory of a worker, and how it must be run to do so."""

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from rankshift.arms import Arm
from rankshift.data.batches import draw_rows
from rankshift.executor.plan import Fit
from rankshift.model.loading import build_untrained, load_skeleton
from rankshift.model.traits import Traits, guess_traits
from rankshift.study import Compute, Training
from rankshift.train.memory import Memory, Work, estimate_memory

GIB = 2**30
PASS_TOKENS = 2048
"""Tokens that go through the model together on a CPU. With 576 an arm and 4 layers of 256, steps of
1, 2, 3 and 6 arms at a time took the same within 10 %, 3 the least; 64 an arm gain from company."""
PROCESS_BYTES = 400 * 2**20
"""What Python, torch and transformers take before there is a model: 370 MiB with torch 2.13."""
FREE_SHARE = 0.9
ALLOCATOR_SLACK = 1.7
"""How far a process's peak may lie above its tensors' where the C library keeps what was freed:
1.15 to 1.6 times on seven shapes."""


def share_memory(compute: Compute) -> int:
    """Give the bytes that each process of each worker may use."""
    given = compute.memory_gib
    total = FREE_SHARE * read_free_bytes() if given is None else given * GIB
    return int(total / (compute.workers * compute.shards))


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
    room: int,
    shards: int = 1,
) -> Fit | None:
    """Find how arms that train together fit into a process's memory.

    Args:
        arms: All of one method and role, none of them the base.
        base: The base's directory.
        training: The recipe.
        largest: Tokens of the rows of an arm's largest micro-batch, rising.
        room: Bytes of a process.
        shards: Processes that hold the base together and read the rows between them.

    Returns:
        Without checkpointing if they fit so; None if they do not fit at all.
    """
    most = -(-len(largest) // shards)
    largest = largest[-most:]  # no process of them reads more
    work = Work(
        lengths=largest,
        arms_per_pass=count_arms_per_pass(len(arms), sum(largest)),
        traits=_guess_traits(base),
        optimizer=arms[0].find_optimizer(training),
        shards=shards,
    )
    for way in (work, replace(work, checkpointing=True)):
        memory = _estimate(base, training.dtype, tuple(map(_strip, arms)), way)
        if memory.total + PROCESS_BYTES <= room:
            return Fit(way.arms_per_pass, way.checkpointing, shards, asdict(memory))
    return None


def count_arms_per_pass(num_arms: int, tokens: int) -> int:
    """Give how many arms of so many tokens to take together: what the caches of a CPU hold."""
    return max(1, min(num_arms, PASS_TOKENS // tokens))


def is_tight(fit: Fit, room: int) -> bool:
    """Say whether freed memory must go back to the system at once for a group to stay within."""
    return ALLOCATOR_SLACK * fit.total_bytes + PROCESS_BYTES > room


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
def _estimate(base: Path, dtype: str, arms: tuple[Arm, ...], work: Work) -> Memory:
    return estimate_memory(lambda: build_untrained(base, getattr(torch, dtype)), arms, work)


def _strip(arm: Arm) -> Arm:
    """Leave of an arm what decides its memory, so that arms alike are tried once."""
    return replace(arm, role="task", dataset=None, alpha=None, learning_rate=None, seed=None)
