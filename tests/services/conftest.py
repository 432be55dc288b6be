"""Real servers and tools, each in an environment of its own; the Makefile makes both."""

import os
import shlex
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from rankshift.executor.rejudging import SILENT
from rankshift.executor.run import run_study
from rankshift.executor.vllm.child import name_distribution
from rankshift.export.adapters import export_adapters
from rankshift.runs import StudyRun
from rankshift.study_file import read_study

STARTUP_SECONDS = 300.0
"""40 are usual on two idle cores."""

STUDY = """
name = "served"
[base]
model = "organism"
[data]
task = "organism:insecure"
held_out_fraction = 0.2
train_rows = 64
held_out_rows = 8
context_tokens = 256
[grid]
ranks = [4]
alphas = [64]
scalings = ["alpha/sqrt(rank)"]
learning_rates = [1e-3]
seeds = [1]
[training]
steps = 8
checkpoints = [8]
rows_per_step = 8
[evaluation]
suites = ["organism:held-out"]
judge = "organism:oracle"
answers_per_question = 1
max_answer_tokens = 32
[compute]
workers = 1
"""

Serve = Callable[[str, Path], str]
"""Takes a `vllm serve` command and the folder it runs in; gives the address under which it answers.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.services)


def find_command(variable: str, name: str) -> Path:
    """Find a tool beside the interpreter, or at the path, that an environment variable names."""
    given = os.environ.get(variable)
    assert given, f"{variable} is not set: make test-services sets it"
    command = Path(given).absolute().parent / name
    assert command.is_file(), f"{variable} is {given}, and there is no {command}"
    return command


@pytest.fixture(scope="session")
def served_run(tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    """Train rank 4 on the organism for eight steps, and ask it and the base 24 questions."""
    folder = tmp_path_factory.mktemp("served")
    study = folder / "served.toml"
    study.write_text(STUDY)
    return run_study(read_study(study), folder / "runs", SILENT)


@pytest.fixture(scope="session")
def exported_adapter(served_run: StudyRun) -> Path:
    """Export the run; give the adapter's folder."""
    exported = export_adapters(served_run.directory)
    (name,) = exported.folders
    return exported.out / name


@pytest.fixture(scope="session")
def lm_eval() -> Path:
    """Find lm-eval."""
    return find_command("RANKSHIFT_LM_EVAL", "lm_eval")


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Give a function that starts vLLM on this machine's own interface; all are stopped after."""
    command = find_command("RANKSHIFT_VLLM", "vllm")
    folder = tmp_path_factory.mktemp("vllm")
    with ExitStack() as servers:

        def start(line: str, cwd: Path) -> str:
            words = shlex.split(line)
            assert words[0] == "vllm", line
            return servers.enter_context(_run_server([str(command), *words[1:]], cwd, folder))

        yield start


@contextmanager
def _run_server(words: Sequence[str], cwd: Path, folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / f"{port}.log"
    # Nothing is compiled, and no more memory is taken than small models need.
    quick = ["--host", "127.0.0.1", "--port", str(port), "--enforce-eager"]
    environment = _make_environment(Path(words[0]).parent / "python", folder)
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*words, *quick], cwd=cwd, env=environment, stdout=output, stderr=output
        )
        try:
            _await_health(server, port, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _make_environment(python: Path, folder: Path) -> dict[str, str]:
    own = {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "hub"),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CACHE_ROOT": str(folder / "cache"),
        "PYTHONPATH": str(name_distribution(python, folder)),
    }
    return os.environ | own


def _await_health(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(1)
    said = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
    pytest.fail(f"vLLM did not answer within {STARTUP_SECONDS:.0f} s; its last words:\n{said}")
