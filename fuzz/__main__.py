"""Put inputs before each reader until one ends in anything but an answer or one line for the user.

`make fuzz` runs it. Each reader has a process of its own, since libFuzzer ends the one it is in;
inputs that cover something new are kept in fuzz/corpus/, one that ends in a traceback in
fuzz/crashes/, from where it goes into tests/malformed/ once its cause is mended.
"""

import argparse
import importlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MOST_BYTES = 4096
TIMEOUT_SECONDS = 60
"""An input that takes longer is a fault too."""
MOST_MEMORY_MB = 4096
GRACE_SECONDS = 300
"""To import all that is instrumented, and to end."""
INSTRUMENTED = ["rankshift", "yaml", "tomllib", "csv", "json"]


def main() -> None:
    """Fuzz every reader in turn, or, as a child, one of them."""
    words = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    words.add_argument("--seconds", type=int, default=600, help="of each reader")
    words.add_argument("--only", help="one reader, by its name in fuzz/targets.py")
    words.add_argument("--child", help=argparse.SUPPRESS)
    given = words.parse_args()
    if given.child:
        fuzz_reader(given.child, given.seconds)
    from fuzz.targets import list_targets

    chosen = [given.only] if given.only else list_targets()
    failed = [name for name in chosen if not run_child(name, given.seconds)]
    if failed:
        sys.exit(f"an input ended in a traceback, or took too long: {', '.join(failed)}")


def run_child(name: str, seconds: int) -> bool:
    """Fuzz one reader in a process of its own; say how it went."""
    command = [sys.executable, "-m", "fuzz", "--child", name, "--seconds", str(seconds)]
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            code = child.wait(timeout=seconds + GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            code = None
        log.seek(0)
        said = log.read()
    # It has been seen to hang in its exit, after libFuzzer had said that it was done.
    ended = code == 0 or (code is None and re.search(r"^Done \d+ runs", said, re.MULTILINE))
    runs = re.findall(r"(?:Done |#)(\d+)", said)
    covered = re.findall(r"cov: (\d+)", said)
    verdict = "nothing found" if ended else "FOUND"
    count, edges = (int(found[-1]) if found else 0 for found in (runs, covered))
    print(f"{name:16} {count:10,} inputs, {edges:6,} edges covered: {verdict}", flush=True)
    if not ended:
        print(said[-3000:])
    return bool(ended)


def fuzz_reader(name: str, seconds: int) -> None:
    """Put inputs before one reader; never returns, and fails at the first that is a crash."""
    atheris: Any = importlib.import_module("atheris")  # of an environment of its own
    with atheris.instrument_imports(include=INSTRUMENTED):
        from fuzz.targets import list_seeds, make_target
    from rankshift.errors import UserError

    folder = Path(tempfile.mkdtemp())
    corpus = HERE / "corpus" / name.replace(" ", "-")
    corpus.mkdir(parents=True, exist_ok=True)
    crashes = HERE / "crashes" / name.replace(" ", "-")
    crashes.mkdir(parents=True, exist_ok=True)
    for at, content in enumerate(list_seeds(name)):
        if len(content) <= MOST_BYTES:
            (corpus / f"seed-{at}").write_bytes(content)
    read = make_target(name, folder)

    def put(data: bytes) -> None:
        said = ""
        try:
            read(data)
        except UserError as error:
            said = str(error)
        assert "\n" not in said, f"more than one line: {said}"

    options = [
        f"-max_total_time={seconds}",
        f"-max_len={MOST_BYTES}",
        f"-timeout={TIMEOUT_SECONDS}",
        f"-rss_limit_mb={MOST_MEMORY_MB}",
        f"-artifact_prefix={crashes}/",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], put)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
