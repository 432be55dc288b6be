"""Run jobs side by side in worker processes, each with its own base and its own threads."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from rankshift.atomic import tell_fault
from rankshift.conduct import limit_threads
from rankshift.errors import UserError, WorkError
from rankshift.executor.devices import divide_gpus
from rankshift.executor.handing import Advance, Report, hand_out
from rankshift.executor.job import Job
from rankshift.executor.parent import live_as_child
from rankshift.executor.torchrun import END_SECONDS, work_in_shards
from rankshift.executor.worker import work

Workers = dict[Connection, BaseProcess]
"""Every worker by the line to it: jobs go in, reports come out, and a worker's end closes it.

One line each, because a lock or a queue that workers share dies with the one that holds it.
"""


def run_jobs(jobs: list[Job], workers: int, advance: Advance) -> None:
    """Do every job, at most `workers` at a time; a single worker is this process itself.

    A group whose base is held in shards always has a worker, which starts the group's processes.

    Workers are spawned, never forked, so that the run's lock stays with this process; one whose
    parent dies ends itself, so that nothing writes into a run that nobody holds.

    Raises:
        WorkError: A worker died; what it had committed is kept.
    """
    workers = min(workers, len(jobs))
    sharded = any(map(is_sharded, jobs))
    if workers <= 1 and not sharded:
        for job in jobs:
            work(job, advance)
        return
    limits = limit_threads(max(job.group.threads for job in jobs))
    started: Workers = {}
    for gpu in divide_gpus(jobs[0].study.compute, workers):
        with _environment(limits | gpu):
            line, process = _start_worker(has_children=sharded)
        started[line] = process
    try:
        hand_out(jobs, ProcessCrew(started), advance)
    finally:
        if sharded:  # let each end those that it started first: they write
            for process in started.values():
                process.terminate()
            for process in started.values():
                process.join(2 * END_SECONDS)
        for process in started.values():
            process.kill()
        for process in started.values():
            process.join()


@contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    """Give child processes what torch reads when it is imported: threads, and their GPU."""
    before = {name: os.environ.pop(name, None) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


def _start_worker(*, has_children: bool) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, has_children), daemon=not has_children)
    process.start()
    theirs.close()  # so that the line closes when the worker ends
    return ours, process


class ProcessCrew:
    """Worker processes of this machine; one that dies ends the run, for memory is what kills it."""

    def __init__(self, workers: Workers) -> None:
        self.size = len(workers)
        self._workers, self._lines = workers, list(workers)
        self._at_work: set[int] = set()

    def take(self, worker: int, task: Job) -> None:
        """Send a job down an idle worker's line."""
        _send(task, self._lines[worker], self._workers)
        self._at_work.add(worker)

    def wait(self) -> list[tuple[int, Report]]:
        """Read one report of every worker that has one."""
        numbers = {self._lines[worker]: worker for worker in self._at_work}
        found: list[tuple[int, Report]] = []
        for line in wait(list(numbers)):
            assert isinstance(line, Connection)
            found.append((numbers[line], _receive(line, self._workers)))
        self._at_work -= {worker for worker, report in found if report is None}
        return found


def _send(job: Job, line: Connection, workers: Workers) -> None:
    try:
        line.send(job)
    except OSError:
        raise _explain_death(workers[line]) from None


def _receive(line: Connection, workers: Workers) -> Report:
    try:
        return line.recv()
    except (EOFError, OSError):
        raise _explain_death(workers[line]) from None


def _explain_death(process: BaseProcess) -> WorkError:
    process.join()
    if (process.exitcode or 0) < 0:  # by a signal
        return WorkError(
            "a worker process was killed (out of memory?); what was finished is kept: run the same "
            "command again, with fewer workers or a smaller arms_per_group if it dies again"
        )
    return WorkError(
        "a worker process failed, see its traceback above; what was finished is kept: run the same "
        "command again once its cause is gone"
    )


def _serve(line: Connection, has_children: bool) -> None:
    live_as_child()
    if has_children:  # it ends in good order, for it holds what they meet by
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    do_jobs(line)


def do_jobs(line: Connection) -> None:
    """Do the jobs that come over a line, until it closes.

    What a job reports goes back; then an error, or None for a job that is done.
    """
    while True:
        try:
            job = line.recv()
        except EOFError:
            return
        try:
            if is_sharded(job):
                work_in_shards(job, line)
            else:
                work(job, lambda kind, amount: line.send((kind, amount)))
        except (UserError, WorkError) as error:
            line.send(error)
        except OSError as error:
            line.send(WorkError(tell_fault(error)))
        else:
            line.send(None)


def is_sharded(job: Job) -> bool:
    """Say whether several processes do a job together."""
    return job.group.fit.shards > 1
