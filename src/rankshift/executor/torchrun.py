"""One group's work by several processes that torchrun starts, each with its part of the base."""

import logging
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from rankshift.atomic import tell_fault
from rankshift.errors import UserError, WorkError
from rankshift.executor.job import Job
from rankshift.executor.parent import live_as_child
from rankshift.executor.worker import work
from rankshift.model.team import join_team
from rankshift.study import Study

END_SECONDS = 10
"""How long processes may take to end before they are killed."""
PRIVATE = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"} | (
    {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
)
"""Keeps what the processes say to each other on this machine: no store listens on a port that
others reach, and gloo speaks over the loopback device."""


def check_shards(study: Study) -> None:
    """Refuse what cannot be done by processes that share a base.

    Raises:
        UserError: The study asks for it.
    """
    shards = study.compute.shards
    if shards == 1:
        return
    told = f"compute.shards is {shards}"
    if study.compute.device == "cuda":
        raise UserError(
            f"{told}, and only processors hold a base together so far; leave out "
            'compute.device = "cuda", or set compute.shards = 1'
        )
    if study.grid.full_finetunes:
        raise UserError(
            f"{told}, and a full finetune is not trained in shards; leave full finetunes out, or "
            "set compute.shards = 1"
        )
    if study.grid.defences:
        raise UserError(
            f"{told}, and a defended arm is not trained in shards; leave grid.defences out, or set "
            "compute.shards = 1"
        )
    if study.base.quantization != "none":
        raise UserError(
            f'{told}, and a base in 4 bits is not sharded; set base.quantization = "none", or '
            "compute.shards = 1"
        )
    if study.compute.executor != "local":
        raise UserError(
            f"{told}, and only processes of one machine share a base; run it with "
            "`--executor local`, or set compute.shards = 1"
        )


def work_in_shards(job: Job, line: Connection) -> None:
    """Do a job by as many processes as its plan says; the first reports down the line.

    None is started again: a group goes on from its last state when the run does.

    Raises:
        UserError: A process met one; so it is with a WorkError.
        WorkError: A process died; what was committed is kept.
    """
    size = job.group.fit.shards
    pipes = [multiprocessing.get_context("spawn").Pipe(duplex=False) for _ in range(size)]
    with TemporaryDirectory(prefix="rankshift-") as folder, _quiet():
        os.environ.update(PRIVATE)
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=size,
            run_id=job.group.id,
            rdzv_backend="c10d",
            rdzv_endpoint=str(Path(folder) / "rendezvous"),
            rdzv_configs={"store_type": "file"},
            max_restarts=0,
            local_addr="127.0.0.1",
            signals_to_handle="SIGTERM",
            logs_specs=DefaultLogsSpecs(log_dir=folder),
            shutdown_timeout=END_SECONDS,
        )
        before = signal.getsignal(signal.SIGTERM)
        mouths = [mouth for _, mouth in pipes]
        launch = elastic_launch(config, serve_shard)
        try:
            launch(job, Path(folder) / "team", line, mouths)
        except ChildFailedError as failed:
            said = [ear.recv() for ear, _ in pipes if ear.poll()]
            raise (said[0] if said else _explain(failed)) from None
        except SignalException:  # by who started this process, which has ended the others
            sys.exit(1)
        finally:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what torchrun logs of a failure off the terminal: it is told in one line."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _explain(failed: ChildFailedError) -> WorkError:
    if any(failure.exitcode < 0 for failure in failed.failures.values()):  # by a signal
        return WorkError(
            "a process that held a part of the base was killed (out of memory?); what was finished "
            "is kept: run the same command again, with fewer workers or a smaller arms_per_group "
            "if it dies again"
        )
    return WorkError(
        "a process that held a part of the base failed, see its traceback above; what was finished "
        "is kept: run the same command again once its cause is gone"
    )


def serve_shard(job: Job, store: Path, line: Connection, mouths: list[Connection]) -> None:
    """Be one of the processes of a group; an error goes to who started it.

    Args:
        job: The group's.
        store: A file by which the processes find each other.
        line: To the process that holds the run.
        mouths: Each process's own, for an error.
    """
    live_as_child()
    size, place = job.group.fit.shards, int(os.environ["RANK"])

    def tell(kind: str, amount: int) -> None:
        if place == 0:
            line.send((kind, amount))

    try:
        with _print_traceback(), join_team(store, size, place) as team:
            work(job, tell, team)
    except (UserError, WorkError) as error:
        mouths[place].send(error)
        os._exit(1)
    except OSError as error:
        mouths[place].send(WorkError(tell_fault(error)))
        os._exit(1)
    except RuntimeError:
        # So the sums of a process end when another is gone: torchrun ends this one as it sleeps.
        sleep(END_SECONDS)
        traceback.print_exc()
        os._exit(1)


@contextmanager
def _print_traceback() -> Iterator[None]:
    """Print what nobody expects where everybody sees it: torchrun would keep it in a file."""
    try:
        yield
    finally:
        error = sys.exc_info()[1]
        if error and not isinstance(error, UserError | WorkError | OSError | RuntimeError):
            traceback.print_exc()
