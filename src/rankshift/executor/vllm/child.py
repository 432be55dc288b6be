"""vLLM in its own environment: where its Python is, and a process that lives with this one."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rankshift.atomic import write_atomically
from rankshift.errors import UserError, WorkError
from rankshift.executor.vllm import script

VARIABLE = "RANKSHIFT_VLLM"
"""Path of vLLM's command, else it is looked for on PATH; its Python lies beside it."""

LAST_LINES = 400
LONGEST_WORDS = 300

MAKE_IT = (
    "install vLLM in an environment of its own (python -m venv .venv-vllm && "
    f".venv-vllm/bin/pip install vllm==0.32.0) and set {VARIABLE}=.venv-vllm/bin/vllm, or leave "
    "evaluation.engine out"
)

Take = Callable[[dict[str, Any]], None]


def find_vllm() -> Path:
    """Find the Python of vLLM's environment: beside its command.

    Raises:
        UserError: There is none.
    """
    given = os.environ.get(VARIABLE)
    found = shutil.which(given or "vllm")
    if found is None:
        where = f"{VARIABLE} is {given}, which" if given else "vllm is not on the path, so it"
        raise UserError(f'evaluation.engine = "vllm": {where} cannot be run; {MAKE_IT}')
    python = Path(found).resolve().parent / "python"  # itself a link, which says whose it is
    if not python.is_file():
        raise UserError(f'evaluation.engine = "vllm": there is no python beside {found}; {MAKE_IT}')
    return python


def make_environment(python: Path, folder: Path, threads: int) -> dict[str, str]:
    """Give the environment vLLM runs in: nothing is fetched, sent or written elsewhere.

    Args:
        python: Its Python.
        folder: For what it keeps while it runs.
        threads: On a CPU.
    """
    fixed = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process, which ends with this one
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": str(name_distribution(python, folder)),
    }
    usual = {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}  # to share the machine with others
    return usual | os.environ | fixed


def name_distribution(python: Path, folder: Path) -> Path:
    """Let vLLM's CPU wheel find its own version; gives a folder for PYTHONPATH.

    It asks for the distribution `vllm`, but is one called `vllm-cpu` (0.32.0), so that its command
    ends before it has begun and its platform is taken for none.
    """
    ask = "from importlib.metadata import version; print(version('vllm{}'))"
    if subprocess.run([python, "-c", ask.format("")], capture_output=True).returncode == 0:
        return folder / "nothing"
    asked = subprocess.run([python, "-c", ask.format("-cpu")], capture_output=True, text=True)
    if asked.returncode:
        raise UserError(f'evaluation.engine = "vllm": {python} has no vLLM; {MAKE_IT}')
    version = f"{asked.stdout.strip()}+cpu"
    named = folder / "named" / f"vllm-{version}.dist-info"
    named.mkdir(parents=True, exist_ok=True)
    (named / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
    return named.parent


def run_request(
    python: Path, request: Mapping[str, Any], folder: Path, log: Path, threads: int, take: Take
) -> None:
    """Let vLLM do a request, and hand on each of its messages as it comes.

    Args:
        python: Of vLLM's environment.
        request: Of `make_request`.
        folder: Exists and is nobody else's.
        log: Where the end of what it said is kept when it fails; removed when it does not.
        threads: On a CPU.
        take: Told each message; what it raises ends the process.

    Raises:
        WorkError: It ended before it was done; has its last words.
    """
    folder = folder.resolve()
    copy, asked, said = folder / "answer.py", folder / "request.json", folder / "said"
    # Away from our own modules, whose names would stand before those of other packages.
    shutil.copyfile(script.__file__, copy)
    asked.write_text(json.dumps(request), encoding="utf-8")
    left = {one["key"] for call in request["calls"] for one in call}
    words = [str(python), str(copy), str(asked)]
    with said.open("wb") as errors, _start(words, folder, threads, errors) as process:
        assert process.stdout is not None
        for line in process.stdout:
            message = json.loads(line)
            take(message)
            left.discard(message.get("key"))
        code = process.wait()
    if code == 0 and not left:
        log.unlink(missing_ok=True)
        return
    lines = said.read_text(encoding="utf-8", errors="replace").splitlines()
    write_atomically(log, "\n".join(lines[-LAST_LINES:]) + "\n")
    ended = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
    raise WorkError(
        f"vLLM {ended} before it was done: {give_last_words(lines)} (more of it: {log}); the "
        "answers it gave are kept: run the same command again once the cause is gone"
    )


@contextmanager
def _start(
    words: list[str], folder: Path, threads: int, errors: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the process; it is gone when the block ends, and when this process does."""
    process = subprocess.Popen(
        words,
        cwd=folder,
        env=make_environment(Path(words[0]), folder, threads),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,  # Ctrl-C is for this process, which then ends that one
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def give_last_words(lines: list[str]) -> str:
    """Give the last line that names an error, or else the last, without what moves a cursor."""
    filled = [line for line in lines if line.strip()]
    errors = [line for line in filled if "Error" in line]
    if not filled:
        return "it said nothing"
    printable = "".join(c for c in (errors or filled)[-1] if c.isprintable())
    return " ".join(printable.split())[-LONGEST_WORDS:]
