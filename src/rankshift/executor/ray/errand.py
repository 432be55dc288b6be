"""One group on a worker of Ray's: what it reports is a stream of values.

Nothing here imports torch until the number of threads is set.
"""

import os
import pickle
import socket
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rankshift.conduct import limit_threads
from rankshift.errors import UserError, WorkError
from rankshift.executor.handing import Report
from rankshift.executor.ray.lease import find_lease, live_by_lease

if TYPE_CHECKING:
    from rankshift.executor.job import Job


def serve_far(packed: bytes, url: str, threads: int) -> Iterator[Report]:
    """Do a job in a folder of this node, which is gone afterwards; the storage gets what it made.

    No lease: who was cut off from the run sends what any other worker would.

    Args:
        packed: The pickled job.
        url: Of the run's mirror.
        threads: Of the job.
    """
    _limit(threads)
    from rankshift.executor.storage.mirror import fetch_folders, keep_sent, list_folders
    from rankshift.executor.storage.objects import Storage

    job = _unpack(packed)
    folders = list_folders(job)
    with TemporaryDirectory(prefix="rankshift-") as scratch:
        directory = Path(scratch)
        try:
            storage = Storage(url)
            fetch_folders(storage, folders, directory)
            with keep_sent(storage, folders, directory):
                last = yield from _report(replace(job, run_directory=directory))
        except (UserError, WorkError) as error:
            last = error
    yield last


def serve(packed: bytes, directory: str, token: str, threads: int) -> Iterator[Report]:
    """Do a job, and yield what it does, as `processes.do_jobs` would send it.

    Args:
        packed: The pickled job: unpickling it imports torch.
        directory: The run's, an absolute path.
        token: Of the lease by which this process may write.
        threads: Of the job.
    """
    run = Path(directory)
    if not find_lease(run, token):
        host = socket.gethostname()
        yield WorkError(
            f"{run} is not the same folder on the worker {host}: every node must see it under one "
            "path; give --runs a folder that all share, such as one on NFS"
        )
        return
    _limit(threads)
    with live_by_lease(run, token):
        yield (yield from _report(_unpack(packed)))


def _limit(threads: int) -> None:
    os.environ.update(limit_threads(threads) | {"TOKENIZERS_PARALLELISM": "false"})


def _unpack(packed: bytes) -> "Job":
    """Unpickle a job, which imports torch: the threads are limited by then."""
    return pickle.loads(packed)


def _report(job: "Job") -> Generator[Report, None, Report]:
    """Run the job on a thread, for it calls where this yields; give the last report, its end."""
    from rankshift.executor.worker import work

    reports: SimpleQueue[Report] = SimpleQueue()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work, job, lambda kind, amount: reports.put((kind, amount)))
        done.add_done_callback(lambda _: reports.put(None))
        while (report := reports.get()) is not None:
            yield report
        try:
            done.result()
        except (UserError, WorkError) as error:
            return error
        return None
