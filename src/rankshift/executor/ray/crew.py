"""Workers of a Ray cluster: each job is a task that asks for the CPUs, GPUs and bytes it needs."""

import importlib
import os
import pickle
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankshift.errors import UserError, WorkError
from rankshift.executor.devices import find_device
from rankshift.executor.handing import Lost, Report
from rankshift.executor.job import Job
from rankshift.executor.ray.errand import serve, serve_far
from rankshift.executor.room import ALLOCATOR_SLACK, GIB, PROCESS_BYTES
from rankshift.executor.storage.mirror import fetch_folders, list_folders
from rankshift.executor.storage.objects import Storage

STORE_BYTES = 2**28
"""Of a local cluster's object store, which holds only jobs that wait and their reports."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # only silences a warning of a change to come
    "RAY_DEDUP_LOGS": "0",
}


@dataclass(frozen=True)
class Needs:
    """What a task asks of the node it runs on."""

    cpus: int
    gpus: int
    bytes: int
    """Of main memory."""

    def fit_into(self, resources: dict[str, float]) -> bool:
        """Say whether a node that has so much could ever run it."""
        named = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.bytes}
        return all(resources.get(name, 0) >= amount for name, amount in named.items())

    def __str__(self) -> str:
        gpus = f", {self.gpus} GPUs" if self.gpus else ""
        return f"{self.cpus} CPUs{gpus} and {self.bytes / GIB:.1f} GiB"


@dataclass(frozen=True)
class Place:
    """Where tasks run and write: plain data, for the process that speaks with Ray."""

    workers: int
    gpus: int
    directory: Path
    """The run's."""
    token: str
    """Of the lease by which workers that see the directory may write."""
    storage: str | None = None
    """URL of the run's mirror, for workers that do not."""


def find_needs(job: Job, gpus: int) -> Needs:
    """Find what a job needs: threads and memory are the plan's."""
    # Where freed memory is not given back at once, a process's peak lies above its tensors'.
    slack = 1.0 if job.tight else ALLOCATOR_SLACK
    fit, on_gpu = job.group.fit, find_device(job.study.compute).type == "cuda"
    # A node of a GPU holds the base only until it lies there.
    held = fit.bytes_by_part.get("base", 0) if on_gpu else fit.total_bytes
    return Needs(job.group.threads, gpus, PROCESS_BYTES + int(slack * held))


@contextmanager
def connect(needs: Iterable[Needs], workers: int) -> Iterator[Any]:
    """Connect to the cluster at RAY_ADDRESS, or start one here that ends with the context.

    Raises:
        UserError: The address is Ray Client's, or no node could ever run some task.
        WorkError: There is no cluster at the address.
    """
    asked, address = list(needs), os.environ.get("RAY_ADDRESS") or "local"
    if address.startswith("ray://"):
        raise UserError(
            f"RAY_ADDRESS = {address}: is Ray Client's, which passes no streams; run on a node of "
            "the cluster, with RAY_ADDRESS=auto or host:6379"
        )
    here: dict[str, Any] = {}
    if address == "local":
        # What is free was counted when groups were planned; here it only keeps too many apart.
        here["num_cpus"] = workers * max(need.cpus for need in asked)
        here["_memory"] = workers * max(need.bytes for need in asked)
        if "RAY_AUTH_MODE" not in os.environ:  # else Ray would leave a token in the user's home
            os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
        here |= {"object_store_memory": STORE_BYTES, "include_dashboard": False}
    os.environ.update(QUIET)
    ray = importlib.import_module("ray")  # it reads its variables once, when it is loaded
    try:
        ray.init(address, log_to_driver=False, logging_level="error", **here)
    except (ConnectionError, TimeoutError) as error:
        told = str(error).strip().partition("\n")[0]
        raise WorkError(
            f"no Ray cluster can be reached at {address}: {told}; if its head asks for a token, "
            "set RAY_AUTH_MODE=token and the token here too"
        ) from None
    try:
        refuse_too_large(asked, [node for node in ray.nodes() if node["Alive"]])
        yield ray
    finally:
        ray.shutdown()


def refuse_too_large(needs: Iterable[Needs], nodes: list[dict[str, Any]]) -> None:
    """Refuse what Ray would let wait for a node for ever.

    Raises:
        UserError: No node has what some task needs.
    """
    for need in needs:
        if not any(need.fit_into(node["Resources"]) for node in nodes):
            raise UserError(
                f"a group needs {need} of one node, and none of the cluster's {len(nodes)} has so "
                "much; lower compute.threads, compute.gpus_per_worker or compute.arms_per_group, "
                "or add a larger node"
            )


class RayCrew:
    """At most so many tasks of a cluster at a time; one that is lost with its worker is said so."""

    def __init__(self, ray: Any, place: Place) -> None:
        """Ray is connected."""
        self.size = place.workers
        self._ray, self._place = ray, place
        self._streams: dict[int, Any] = {}
        self._jobs: dict[int, Job] = {}
        self._storage = Storage(place.storage) if place.storage else None

    def take(self, worker: int, task: Job) -> None:
        """Start a task; Ray itself never retries it, for its reports would begin anew."""
        place, needs = self._place, find_needs(task, self._place.gpus)
        work = serve_far if place.storage else serve
        remote = self._ray.remote(work).options(
            num_cpus=needs.cpus,
            num_gpus=needs.gpus,
            memory=needs.bytes,
            max_retries=0,
            name=f"group {task.group.id}",
        )
        held = (place.storage,) if place.storage else (str(place.directory), place.token)
        self._streams[worker] = remote.remote(pickle.dumps(task), *held, needs.cpus)
        self._jobs[worker] = task

    def wait(self) -> list[tuple[int, Report]]:
        """Read one report of every task that has one."""
        ready, _ = self._ray.wait(list(self._streams.values()), num_returns=1)
        numbers = [number for number, stream in self._streams.items() if stream in ready]
        return [(number, self._read(number)) for number in numbers]

    def _read(self, number: int) -> Report:
        errors = self._ray.exceptions
        try:
            report = self._ray.get(next(self._streams[number]))
        except errors.RayTaskError as error:
            lines = str(error).strip().splitlines()
            return WorkError(
                f"a worker failed: {lines[-1]}; what was finished is kept: run the same command "
                "again once its cause is gone"
            )
        except errors.RayError as error:  # the worker or its node is gone
            report = Lost(str(error).strip().partition("\n")[0] or type(error).__name__)
        if report is None or isinstance(report, Lost):
            del self._streams[number]
        if report is None and self._storage:
            folders = list_folders(self._jobs[number])
            fetch_folders(self._storage, folders, self._place.directory)
        return report
