"""One group on a worker of Ray's: what it reports is a stream of values.

Nothing here imports torch until the number of threads is set.
"""

import os
import pickle
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from rankshift.conduct import limit_threads
from rankshift.errors import UserError, WorkError
from rankshift.executor.handing import Report
from rankshift.executor.lease import find_lease, live_by_lease


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
    os.environ.update(limit_threads(threads) | {"TOKENIZERS_PARALLELISM": "false"})
    with live_by_lease(run, token):
        yield from _report(packed)


def _report(packed: bytes) -> Iterator[Report]:
    """Run the job on a thread, for it calls where this yields."""
    from rankshift.executor.worker import Job, work

    job = pickle.loads(packed)
    assert isinstance(job, Job)
    reports: SimpleQueue[Report] = SimpleQueue()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work, job, lambda kind, amount: reports.put((kind, amount)))
        done.add_done_callback(lambda _: reports.put(None))
        while (report := reports.get()) is not None:
            yield report
        try:
            done.result()
        except (UserError, WorkError) as error:
            yield error
        else:
            yield None
