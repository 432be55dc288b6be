"""What this machine has for a study: versions, extras, processors and disk, each with its fix."""

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from rankshift.conduct import Compute
from rankshift.executor.room import GIB, read_free_bytes
from rankshift.provenance import find_version

State = Literal["ok", "warn", "fail"]

EXTRAS = {"parquet": "pyarrow", "quantized": "bitsandbytes", "ray": "ray", "track": "trackio"}
"""Extras that a study may want, each with the package that makes it."""

LEAST_DISK_BYTES = GIB
"""Less than this is left over by the records and the page of a large run alone."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    told: str
    """What was found, one line."""
    fix: str | None = None
    """What to do; None where all is well."""


def check_machine(root: Path) -> list[Check]:
    """Look at what every study needs; nothing is written.

    Args:
        root: Where runs are kept.
    """
    return [
        check_python(),
        Check("torch", "ok", f"torch {find_version('torch')}, {_name_libraries()}"),
        check_gpu(),
        check_extras(),
        check_disk(root, LEAST_DISK_BYTES),
        Check("memory", "ok", f"{read_free_bytes() / GIB:.1f} GiB could be taken"),
    ]


def check_python() -> Check:
    """Say which Python runs, and whether it is one that results are repeated with."""
    told = f"Python {platform.python_version()}"
    if sys.version_info[:2] > (3, 13):
        return Check("python", "warn", f"{told}, newer than what was tested", "use 3.11 to 3.13")
    return Check("python", "ok", told)


def _name_libraries() -> str:
    names = ("transformers", "safetensors", "numpy")
    return ", ".join(f"{name} {find_version(name)}" for name in names)


def check_gpu() -> Check:
    """Say whether torch sees a GPU; to have none is no fault, not to see one is."""
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(at) for at in range(torch.cuda.device_count())]
        told = f"{', '.join(names)}; studies compute there, but for compute.device"
        return Check("gpu", "ok", told)
    if shutil.which("nvidia-smi"):
        return Check(
            "gpu",
            "warn",
            f"there is a driver, and torch {torch.__version__} sees no GPU",
            "install the torch that is built for that driver's CUDA",
        )
    return Check("gpu", "ok", "none; all is computed on the processor")


def check_extras() -> Check:
    """Say which extras are installed; what a study wants of them is checked with its parts."""
    there = [name for name, package in EXTRAS.items() if find_version(package)]
    absent = [name for name in EXTRAS if name not in there]
    told = f"installed: {', '.join(there) or 'none'}"
    if absent:
        told += f"; not: {', '.join(absent)} (`pip install 'rankshift[{','.join(absent)}]'`)"
    return Check("extras", "ok", told)


def check_threads(compute: Compute) -> Check:
    """Hold a study's workers and threads against the cores this process may run on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    asked = compute.workers * compute.shards * compute.threads
    split = f" of {compute.shards} processes" if compute.shards > 1 else ""
    told = f"{compute.workers} workers{split} of {compute.threads} threads on {cores} cores"
    if asked > (cores or asked):
        fix = f"set compute.workers and compute.threads so that they make {cores}"
        return Check("threads", "warn", told, fix)
    limit = os.environ.get("OMP_NUM_THREADS")
    if compute.workers == 1 and limit is not None and limit != str(compute.threads):
        fix = f"set OMP_NUM_THREADS={compute.threads}, or leave it out"
        return Check("threads", "warn", f"{told}, and OMP_NUM_THREADS is {limit}", fix)
    return Check("threads", "ok", told)


def check_disk(root: Path, needed: int) -> Check:
    """Hold what a study would write against what is free where runs are kept.

    Args:
        root: Where runs are kept; it need not be there yet.
        needed: Bytes.
    """
    place = root.absolute()
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        return Check("disk", "fail", f"{place} cannot be written to", "give another --runs")
    free = shutil.disk_usage(place).free
    told = f"{free / GIB:.1f} GiB free at {place}, about {needed / GIB:.1f} GiB needed"
    fix = "free some, name another place with --runs, or ask for fewer checkpoints"
    if free < needed:
        return Check("disk", "fail", told, fix)
    return Check("disk", "warn", told, fix) if free < 2 * needed else Check("disk", "ok", told)
