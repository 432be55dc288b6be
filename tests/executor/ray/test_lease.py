"""Who no longer holds a lease no longer writes, however the one who gave it ended."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

from rankshift.executor.ray import lease
from rankshift.executor.ray.lease import (
    GRACE_SECONDS,
    LEASE_NAME,
    LOOK_SECONDS,
    end_strangers,
    find_lease,
    hold_lease,
    live_by_lease,
)

WORKER = """
import sys, time
from pathlib import Path
from rankshift.executor.ray import lease
lease.STALE_SECONDS = float(sys.argv[3])
with lease.live_by_lease(Path(sys.argv[1]), sys.argv[2]):
    print("at work", flush=True)
    time.sleep(60)
"""


@contextmanager
def at_work(folder: Path, token: str, stale_seconds: float = 60) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-c", WORKER, str(folder), token, str(stale_seconds)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "at work\n"
        yield worker
        worker.kill()


def test_a_lease_is_renewed_while_it_is_held_and_gone_afterwards(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    path = tmp_path / LEASE_NAME
    with hold_lease(tmp_path) as token:
        assert find_lease(tmp_path, token)
        first = path.read_text()
        assert first == f"{token} 0\n"
        sleep(0.5)
        assert path.read_text() != first
        with live_by_lease(tmp_path, token):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_worker_lives_while_its_lease_is_renewed_and_ends_when_it_is_taken_away(tmp_path: Path):
    holding = ExitStack()
    token = holding.enter_context(hold_lease(tmp_path))
    with at_work(tmp_path, token, stale_seconds=4 * lease.BEAT_SECONDS) as worker:
        sleep(5 * lease.BEAT_SECONDS)
        assert worker.poll() is None
        holding.close()
        assert worker.wait(GRACE_SECONDS) == 1


def test_a_worker_ends_when_nobody_renews_its_lease(tmp_path: Path):
    (tmp_path / LEASE_NAME).write_text("mine 7\n")
    with at_work(tmp_path, "mine", stale_seconds=2) as worker:
        sleep(LOOK_SECONDS)
        assert worker.poll() is None
        assert worker.wait(10) == 1


def test_whoever_holds_the_run_next_waits_until_workers_of_a_dead_holder_have_ended(
    tmp_path: Path,
):
    begun = monotonic()
    end_strangers(tmp_path)
    assert monotonic() - begun < 1  # there are none
    (tmp_path / LEASE_NAME).write_text("dead 7\n")
    with at_work(tmp_path, "dead") as worker:
        end_strangers(tmp_path)
        assert worker.poll() == 1
    assert not (tmp_path / LEASE_NAME).exists()


def test_a_machine_that_does_not_see_the_run_finds_no_lease(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(lease, "SEARCH_SECONDS", 0.1)
    monkeypatch.setattr(lease, "LOOK_SECONDS", 0.1)
    with hold_lease(tmp_path) as token:
        assert not find_lease(tmp_path / "elsewhere", token)
        assert not find_lease(tmp_path, "another's")


@pytest.mark.parametrize("content", ["", "other 3\n"])
def test_a_lease_that_is_anothers_ends_a_worker_and_one_that_cannot_be_read_does_not(
    tmp_path: Path, content: str
):
    path = tmp_path / LEASE_NAME
    path.write_text("mine 1\n")
    with at_work(tmp_path, "mine") as worker:
        path.write_text(content)
        sleep(3 * LOOK_SECONDS)
        assert worker.poll() == (1 if content else None)
