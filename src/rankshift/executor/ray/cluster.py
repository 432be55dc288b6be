"""Run jobs on a Ray cluster: a process of its own speaks with Ray, this one holds the run.

Ray ends the process that is connected to it when its head is gone, and prints as it likes; so that
process is a child, its end is one line, and what it prints goes to a file.
"""

import importlib.util
import multiprocessing
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from time import sleep

from rankshift.conduct import Compute
from rankshift.errors import UserError, WorkError
from rankshift.executor.handing import Advance, hand_out
from rankshift.executor.job import Job
from rankshift.executor.parent import live_as_child
from rankshift.executor.ray.crew import Place, RayCrew, connect, find_needs
from rankshift.executor.ray.lease import hold_lease
from rankshift.executor.storage.mirror import find_mirror

LOG_NAME = "ray.log"
LOOK_SECONDS = 2.0
MOST_MISSES = 5
"""A head that cannot be reached so many times in a row is gone."""
END_SECONDS = 20.0
"""How long a cluster of our own may take to end before its process is killed."""


def run_jobs_on_ray(jobs: list[Job], compute: Compute, directory: Path, advance: Advance) -> None:
    """Do every job as a task of Ray's, at most `compute.workers` at a time.

    Args:
        jobs: What is to be done.
        compute: How many at a time, and what each asks for.
        directory: The run's; every worker must see it under the same path, where there is no
            storage. Its lock is held.
        advance: Told what is done.

    Raises:
        UserError: Ray is not installed, or no node is large enough for a group.
        WorkError: Ray is gone, or a worker cannot do its work; what it had committed is kept.
    """
    if importlib.util.find_spec("ray") is None:
        raise UserError(
            'compute.executor = "ray" needs Ray, which is not installed: '
            "`pip install 'rankshift[ray]'` brings it"
        )
    if not jobs:
        return
    directory = directory.resolve()
    with hold_lease(directory) as token:
        workers = min(compute.workers, len(jobs))
        mirror = find_mirror(jobs[0].study)
        url = mirror.url if mirror else None
        place = Place(workers, compute.gpus_per_worker, directory, token, url)
        _attend([_anchor(job) for job in jobs], place, advance)


def _anchor(job: Job) -> Job:
    """Make every path absolute: workers begin in folders of their own."""
    tokenizer = job.tokenizer_directory
    return replace(
        job,
        base_directory=job.base_directory.resolve(),
        run_directory=job.run_directory.resolve(),
        given=tuple(path.resolve() for path in job.given),
        tokenizer_directory=None if tokenizer is None else tokenizer.resolve(),
    )


def _attend(jobs: list[Job], place: Place, advance: Advance) -> None:
    """Start the child, and pass on what it says until it is done."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    # No daemon: a cluster of its own has processes below it.
    child = context.Process(target=_drive, args=(theirs, place))
    child.start()
    theirs.close()
    try:
        ours.send(jobs)
        while (report := ours.recv()) is not None:
            if isinstance(report, UserError | WorkError):
                raise report
            advance(*report)
    except (EOFError, OSError):
        raise WorkError(
            "Ray is gone: its head ended or cannot be reached, or its driver was killed, see "
            f"{place.directory / LOG_NAME}; what was finished is kept: run the same command again"
        ) from None
    finally:
        child.terminate()
        child.join(END_SECONDS)
        child.kill()
        child.join()


def _drive(line: Connection, place: Place) -> None:
    """Be the child: connect, hand out the jobs, and tell the parent."""
    live_as_child()
    _print_to(place.directory / LOG_NAME)
    jobs: list[Job] = line.recv()
    try:
        with connect((find_needs(job, place.gpus) for job in jobs), place.workers) as ray:
            watch_head(ray.get_runtime_context().gcs_address, lambda: os._exit(1))
            hand_out(jobs, RayCrew(ray, place), lambda kind, amount: line.send((kind, amount)))
    except (UserError, WorkError) as error:
        line.send(error)
    else:
        line.send(None)


def _print_to(path: Path) -> None:
    """Let this process and those it starts print into a file."""
    with path.open("w", encoding="utf-8") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)


def watch_head(address: str, end: Callable[[], None]) -> None:
    """Call `end`, from a thread, once a head cannot be reached any more.

    Ray itself waits for a minute, and workers that still run would write meanwhile.

    Args:
        address: Host and port of Ray's control service.
        end: Ends the process.
    """
    host, _, port = address.rpartition(":")

    def look() -> None:
        misses = 0
        while misses < MOST_MISSES:
            sleep(LOOK_SECONDS)
            try:
                socket.create_connection((host, int(port)), timeout=5.0).close()
                misses = 0
            except OSError:
                misses += 1
        end()

    threading.Thread(target=look, daemon=True).start()
