"""Fresh processes with a given number of threads, which is fixed before they import torch."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from threading import BrokenBarrierError
from typing import Any, TypeVar

from rankshift.errors import WorkError

T = TypeVar("T")
PATIENCE_SECONDS = 600.0
"""How long a process waits for the others to be ready."""

_barrier: Any = None  # of this process, set before its first call


def meet() -> None:
    """Wait until all processes of a call are here."""
    assert _barrier is not None, "only a process of `run_together` can meet others"
    try:
        _barrier.wait(PATIENCE_SECONDS)
    except BrokenBarrierError:
        raise WorkError("another process of the benchmark failed; see its traceback") from None


def run_together(call: Callable[..., T], arguments: Sequence[tuple], threads: int) -> list[T]:
    """Call a function once for each tuple of arguments, each in a process of its own, all at once.

    The processes are new every time, so that no side profits from what another round loaded; each
    must call `meet`, once.

    Args:
        call: A module's function; its results are sent back.
        arguments: One tuple for each process.
        threads: Of each process.
    """
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(arguments))
    with (
        thread_limit(threads),
        ProcessPoolExecutor(len(arguments), context, _take_barrier, (barrier,)) as pool,
    ):
        futures = [pool.submit(call, *values) for values in arguments]
        return [future.result() for future in futures]


def clock() -> float:
    """Give the seconds of a clock that all processes of this machine share."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


@contextmanager
def thread_limit(threads: int) -> Iterator[None]:
    """Give child processes their number of threads.

    Several threads wait for each other as the library's default has it; a single one never does.
    """
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    before = {name: os.environ.pop(name, None) for name in (*limits, "OMP_WAIT_POLICY")}
    os.environ.update(limits)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _take_barrier(barrier: Any) -> None:
    global _barrier
    _barrier = barrier
