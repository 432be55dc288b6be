"""Where a run's jobs are done: by processes of this machine, or by a Ray cluster."""

from pathlib import Path

from rankshift.conduct import Compute
from rankshift.errors import UserError
from rankshift.executor.handing import Advance
from rankshift.executor.job import Job
from rankshift.executor.processes import is_sharded, run_jobs
from rankshift.executor.ray.cluster import run_jobs_on_ray
from rankshift.executor.ray.lease import end_strangers


def dispatch(jobs: list[Job], compute: Compute, directory: Path, advance: Advance) -> None:
    """Do every job as the study asks; the same jobs leave the same files either way.

    Args:
        jobs: What is to be done.
        compute: Says where.
        directory: The run's. Its lock is held.
        advance: Told what is done.

    Raises:
        UserError: A job cannot be done, or Ray is asked for and not installed, or cannot do it.
        WorkError: A worker died, or Ray is gone; what was committed is kept.
    """
    end_strangers(directory)
    if compute.executor == "ray":
        if any(map(is_sharded, jobs)):
            raise UserError(
                "some groups of this run are planned in shards, which only processes of one "
                "machine share; run it with `--executor local`"
            )
        run_jobs_on_ray(jobs, compute, directory, advance)
    else:
        run_jobs(jobs, compute.workers, advance)
