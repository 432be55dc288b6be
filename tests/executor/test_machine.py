"""What a machine lacks is told with what to do, and only what would stop a study is a failure."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from rankshift.conduct import Compute
from rankshift.executor import machine
from rankshift.executor.machine import check_disk, check_machine, check_python, check_threads


def test_this_machine_is_told_and_nothing_is_written(tmp_path: Path):
    checks = check_machine(tmp_path / "runs")
    names = [check.name for check in checks]
    assert names == ["python", "torch", "gpu", "extras", "disk", "memory"]
    assert all(check.fix for check in checks if check.state != "ok")
    assert list(tmp_path.iterdir()) == []


def test_a_python_that_was_not_tested_is_a_warning(monkeypatch: pytest.MonkeyPatch):
    assert check_python().state == "ok"
    monkeypatch.setattr(machine.sys, "version_info", (3, 15, 0))
    assert check_python().state == "warn"


def test_more_threads_than_cores_are_a_warning_with_the_number_that_would_do():
    told = check_threads(Compute(workers=100_000, threads=2))
    assert told.state == "warn"
    assert told.told.startswith("100000 workers of 2 threads on ")
    split = check_threads(Compute(workers=1, shards=100_000))
    assert split.state == "warn"
    assert split.told.startswith("1 workers of 100000 processes of 1 threads on ")
    assert told.fix is not None
    assert told.fix.startswith("set compute.workers and compute.threads so that they make ")


def test_a_limit_of_threads_that_is_not_the_studys_is_a_warning(monkeypatch: pytest.MonkeyPatch):
    one = Compute(workers=1, threads=1)
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    assert check_threads(one).fix == "set OMP_NUM_THREADS=1, or leave it out"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert check_threads(one).state == "ok"


@pytest.mark.parametrize(
    ("free", "state"), [(99, "fail"), (100, "warn"), (199, "warn"), (200, "ok")]
)
def test_a_disk_of_less_than_twice_what_is_needed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str
):
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda place: SimpleNamespace(free=free))
    check = check_disk(tmp_path / "not" / "there", 100)
    assert check.state == state
    assert bool(check.fix) == (state != "ok")
