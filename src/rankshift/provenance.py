"""What a result was made with: commit, versions and hardware, and nothing of the environment else.

Only named facts are gathered. The environment holds keys, so it is never copied.
"""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DISTRIBUTIONS = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "accelerate",
    "bitsandbytes",
    "datasets",
    "safetensors",
    "tokenizers",
    "huggingface-hub",
    "numpy",
    "scipy",
    "statsmodels",
    "pandas",
    "pyarrow",
    "pydantic",
    "altair",
    "vl-convert-python",
    "jinja2",
    "filelock",
    "inspect-ai",
    "ray",
    "vllm",
)
"""What can change a number or a figure; absent ones are recorded as null."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "KMP_BLOCKTIME",
    "MKL_CBWR",
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
)
"""The only environment variables that are recorded: they pick kernels or their order of sums."""


def gather_provenance() -> dict[str, object]:
    """Gather what a reader needs to repeat a result; JSON values, absent facts are None."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "rankshift": find_version("rankshift"),
        "git": describe_checkout(Path(__file__)),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: find_version(name) for name in DISTRIBUTIONS},
        "hardware": {
            "cpu": name_cpu(),
            "logical_cores": os.cpu_count(),
            "usable_cores": _count_usable_cores(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "gpus": _name_gpus(),
        },
        "threads": {name: os.environ.get(name) for name in THREAD_VARIABLES},
    }


def find_version(distribution: str) -> str | None:
    """Give an installed distribution's version without importing it; None when it is absent."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def describe_checkout(file: Path) -> dict[str, str | bool] | None:
    """Give the commit a source file stands at, and whether its checkout has other changes.

    None when git does not track the file: an installed package may lie inside the repository of
    somebody else, whose commit says nothing about it.
    """
    if _ask_git(file.parent, "ls-files", "--error-unmatch", file.name) is None:
        return None
    commit = _ask_git(file.parent, "rev-parse", "HEAD")
    changes = _ask_git(file.parent, "status", "--porcelain")
    if commit is None or changes is None:
        return None
    return {"commit": commit, "dirty": changes != ""}


def _ask_git(folder: Path, *question: str) -> str | None:
    # GIT_DIR and its like, set inside git hooks, would point at another repository.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *question],
            env=environment,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def name_cpu() -> str | None:
    """Give the processor's model name; None where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or None


def _count_usable_cores() -> int | None:
    """Count the cores this process may run on; a container often grants fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _name_gpus() -> list[str] | None:
    """Name the GPUs if torch is loaded already; None when it is not, and nobody asked."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
