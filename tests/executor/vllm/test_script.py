"""The script that vLLM's Python runs: on its own, and gone with whoever started it.

What it does with vLLM is in tests/services/test_vllm_answers.py.
"""

import ast
import json
import subprocess
import sys
from pathlib import Path

from rankshift.executor.vllm import script

SCRIPT = Path(script.__file__)


def test_it_imports_the_standard_library_and_vllm_alone():
    tree = ast.parse(SCRIPT.read_text())
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert names
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names
    named = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]
    assert {"vllm", "vllm.platforms", "vllm.lora.request"} <= set(named)


def test_a_message_is_one_line_of_json(tmp_path: Path):
    message = {"key": "a\nb", "answers": [[1, 2]]}
    with (tmp_path / "lines").open("w") as lines:
        script.tell(lines, message)
        (line,) = (tmp_path / "lines").read_text().splitlines()  # it is there at once
    assert json.loads(line) == message


def test_without_vllm_it_fails_and_says_nothing_where_answers_are_read(tmp_path: Path):
    (tmp_path / "request.json").write_text("{}")
    words = [sys.executable, str(SCRIPT), str(tmp_path / "request.json")]
    done = subprocess.run(words, stdin=subprocess.PIPE, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert done.stdout == ""


def test_it_ends_when_whoever_started_it_does(tmp_path: Path):
    # A stand-in for the import of vLLM, which takes longer than the process that asked lives.
    (tmp_path / "vllm.py").write_text("import time; print('importing', flush=True); time.sleep(60)")
    (tmp_path / "request.json").write_text("{}")
    words = [sys.executable, str(SCRIPT), str(tmp_path / "request.json")]
    process = subprocess.Popen(
        words,
        env={"PYTHONPATH": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    assert process.stderr.readline() == b"importing\n"  # what is printed is no message
    process.stdin.close()
    assert process.wait(10) == 3
    assert process.stdout is not None
    assert process.stdout.read() == b""
    process.stdout.close()
    process.stderr.close()
