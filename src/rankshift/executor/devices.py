"""Where a study's models compute: on the GPUs that torch sees, or on the processor."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import PreTrainedModel

from rankshift.conduct import Compute
from rankshift.errors import UserError, WorkError
from rankshift.model.loading import load_model
from rankshift.study import Study

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""Names the GPUs that a process sees. Source: CUDA C++ Programming Guide, "CUDA Environment
Variables"."""

REPEATABLE = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""Without it cuBLAS may divide a sum otherwise in each process. Source: the documentation of
torch.use_deterministic_algorithms."""


def find_device(compute: Compute) -> torch.device:
    """Find what kind of device each worker computes on; whether it is there is seen by the worker.

    Left to itself a study computes on a GPU where this process sees one; on Ray, where it asks for
    one. A base that several processes hold together is held by processors.
    """
    if compute.device != "auto":
        return torch.device(compute.device)
    on_ray = compute.executor == "ray"
    sees = compute.gpus_per_worker > 0 if on_ray else torch.cuda.is_available()
    return torch.device("cuda" if sees and compute.shards == 1 else "cpu")


def take_device(compute: Compute) -> torch.device:
    """Make this process ready to compute where the study says, the same way each time.

    Raises:
        UserError: That is a GPU, and torch sees none.
    """
    device = find_device(compute)
    if device.type == "cuda":
        check_gpu(compute)
        for name, value in REPEATABLE.items():
            os.environ.setdefault(name, value)
        torch.use_deterministic_algorithms(mode=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore
        # Said once, where a backward pass begins with a matrix product; it is then done as always.
        warnings.filterwarnings("ignore", message="Attempting to run cuBLAS, but there was no curr")
    return device


def load_there(directory: Path, study: Study) -> PreTrainedModel:
    """Load a model as a study holds it, where it computes.

    Raises:
        UserError: As for `load_model` and `take_device`.
    """
    device = take_device(study.compute)
    dtype = getattr(torch, study.training.dtype)
    model = load_model(directory, dtype, study.base.quantization)
    model.to(device)  # pyright: ignore - wrapped by transformers without its types
    return model


def check_gpu(compute: Compute) -> None:
    """Refuse a study that wants a GPU where torch sees none.

    Raises:
        UserError: So it is.
    """
    if find_device(compute).type == "cuda" and not torch.cuda.is_available():
        raise UserError(
            'compute.device is "cuda", and torch sees no GPU here (`rankshift doctor` says more); '
            'install the torch that is built for your driver, or set compute.device = "auto"'
        )


def name_device(device: torch.device) -> str:
    """Name a device for the records: a GPU by its maker's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def list_gpus() -> list[str]:
    """List the GPUs that this process sees, as `CUDA_VISIBLE_DEVICES` names them."""
    given = os.environ.get(VISIBLE)
    if given is None:
        return [str(number) for number in range(torch.cuda.device_count())]
    return [name for name in given.split(",") if name.strip()]


def divide_gpus(compute: Compute, workers: int) -> list[dict[str, str]]:
    """Give each worker the environment that shows it one GPU; nothing where all use processors."""
    gpus = list_gpus() if find_device(compute).type == "cuda" else []
    return [{VISIBLE: gpus[at % len(gpus)]} if gpus else {} for at in range(workers)]


def share_gpu_bytes(workers: int) -> int:
    """Give the bytes free on the fullest GPU for each worker of it, with GPUs dealt out in turn."""
    free = min(torch.cuda.mem_get_info(at)[0] for at in range(torch.cuda.device_count()))
    return free // -(-workers // torch.cuda.device_count())


def note_peak(device: torch.device) -> None:
    """Begin to note the most that is allocated on a GPU."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def read_peak(device: torch.device) -> int | None:
    """Give the most bytes that tensors took on a GPU since `note_peak`; None on a processor."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


@contextmanager
def tell_shortage() -> Iterator[None]:
    """Turn a GPU's lack of memory into one line.

    Raises:
        WorkError: The memory ran out; what was finished is kept.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise WorkError(
            "the GPU's memory ran out; what was finished is kept: run the same command again with "
            "fewer compute.workers, a smaller compute.arms_per_group, or PYTORCH_ALLOC_CONF="
            "expandable_segments:True in the environment"
        ) from error
