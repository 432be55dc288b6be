"""Where vLLM is looked for, and what is said where it is not."""

import sys
from pathlib import Path

import pytest

from rankshift.errors import UserError
from rankshift.executor.vllm.child import (
    VARIABLE,
    find_vllm,
    give_last_words,
    make_environment,
    name_distribution,
)


def refuse(monkeypatch: pytest.MonkeyPatch, given: str | None, path: Path) -> str:
    """Look for vLLM where there is none; give what is said."""
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.delenv(VARIABLE, raising=False)
    if given is not None:
        monkeypatch.setenv(VARIABLE, given)
    with pytest.raises(UserError) as refused:
        find_vllm()
    message = str(refused.value)
    assert "\n" not in message
    assert f"set {VARIABLE}=.venv-vllm/bin/vllm, or leave evaluation.engine out" in message
    return message


def make_command(folder: Path, python: bool) -> Path:
    """Write a command, with or without a Python beside it."""
    folder.mkdir()
    (folder / "vllm").write_text("#!/bin/sh\n")
    (folder / "vllm").chmod(0o755)
    if python:
        (folder / "python").symlink_to(sys.executable)
    return folder / "vllm"


def test_without_vllm_one_line_says_how_to_have_it(monkeypatch, tmp_path: Path):
    assert "vllm is not on the path" in refuse(monkeypatch, None, tmp_path)
    nowhere = str(tmp_path / "none" / "vllm")
    assert f"{VARIABLE} is {nowhere}, which" in refuse(monkeypatch, nowhere, tmp_path)
    command = make_command(tmp_path / "bin", python=False)
    assert f"no python beside {command}" in refuse(monkeypatch, str(command), tmp_path)


def test_the_python_beside_the_command_is_taken_as_it_stands_there(monkeypatch, tmp_path: Path):
    command = make_command(tmp_path / "bin", python=True)
    monkeypatch.setenv(VARIABLE, str(command))
    # Not what its link leads to: the place says which environment it is.
    assert find_vllm() == (tmp_path / "bin").resolve() / "python"
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert find_vllm() == (tmp_path / "bin").resolve() / "python"
    (tmp_path / "link").symlink_to(command)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "link"))
    assert find_vllm() == (tmp_path / "bin").resolve() / "python"


def test_a_python_without_vllm_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="has no vLLM"):
        name_distribution(Path(sys.executable), tmp_path)


def test_vllm_fetches_and_reports_nothing_and_keeps_the_users_settings(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "0-1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr("rankshift.executor.vllm.child.name_distribution", lambda *_: tmp_path)
    found = make_environment(Path("python"), tmp_path, 2)
    fixed = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    kept = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "0-1"}
    assert (fixed | kept | {"OMP_NUM_THREADS": "2"}).items() <= found.items()


def test_the_last_words_are_the_last_error_on_one_line():
    lines = ["ValueError: no  such \x1b[1mmodel", "", "bye"]
    assert give_last_words(lines) == "ValueError: no such [1mmodel"
    assert give_last_words(["bye", " "]) == "bye"
    assert give_last_words([]) == "it said nothing"
