"""Fresh processes with a given number of threads, which is fixed before they import torch."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BrokenBarrierError
from typing import Any, Literal, TypeVar

from benchmarks.measuring import clock
from rankshift.errors import WorkError

T = TypeVar("T")
WaitPolicy = Literal["default", "passive"]
"""Of OpenMP's threads: the library's default, which spins for a while, or to sleep at once."""

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


def run_together(
    call: Callable[..., T],
    arguments: Sequence[tuple],
    threads: int,
    wait_policy: WaitPolicy = "passive",
) -> list[T]:
    """Call a function once for each tuple of arguments, each in a process of its own, all at once.

    The processes are new every time, so that no side profits from what another round loaded; each
    must call `meet`, once.

    Args:
        call: A module's function; its results are sent back.
        arguments: One tuple for each process.
        threads: Of each process.
        wait_policy: How these wait for each other; the executor of studies has them sleep.
    """
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(arguments))
    with (
        thread_limit(threads, wait_policy),
        ProcessPoolExecutor(len(arguments), context, _take_barrier, (barrier,)) as pool,
    ):
        futures = [pool.submit(call, *values) for values in arguments]
        return [future.result() for future in futures]


@dataclass(frozen=True)
class Stamp:
    """A moment in a process."""

    seconds: float
    """Of a clock that all processes of this machine share."""
    core_seconds: float
    """That the process has computed until then, all its threads together."""


def stamp() -> Stamp:
    """Note this moment."""
    return Stamp(clock(), time.process_time())


@contextmanager
def thread_limit(threads: int, wait_policy: WaitPolicy) -> Iterator[None]:
    """Give child processes their number of threads, and how these wait for each other."""
    wanted = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    if wait_policy == "passive":
        wanted["OMP_WAIT_POLICY"] = "passive"
    before = {name: os.environ.pop(name, None) for name in {*wanted, "OMP_WAIT_POLICY"}}
    os.environ.update(wanted)
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
