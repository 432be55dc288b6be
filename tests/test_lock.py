"""One writer a run, with real processes; the dead hold nothing."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rankshift.errors import UserError, WorkError
from rankshift.lock import SILENT_SECONDS, hold_run, read_owner

HOLDER = """
import sys
import time
from pathlib import Path
from rankshift.lock import hold_run
with hold_run(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_told_who_writes_and_since_when(holder, tmp_path):
    note = json.loads((tmp_path / "lock.json").read_text())
    started = datetime.fromisoformat(note["started"])
    assert abs((datetime.now(UTC) - started).total_seconds()) < 60
    with pytest.raises(UserError) as refused, hold_run(tmp_path):
        pass
    assert str(refused.value) == (
        f"{tmp_path} is being written by process {holder.pid} on {socket.gethostname()} since "
        f"{started.astimezone(UTC):%Y-%m-%d %H:%M} UTC; wait, or stop that process"
    )
    assert json.loads((tmp_path / "lock.json").read_text()) == note


def test_an_orderly_end_hands_the_run_over(holder, tmp_path):
    holder.communicate()
    assert not (tmp_path / "lock.json").exists()
    with hold_run(tmp_path):
        assert json.loads((tmp_path / "lock.json").read_text())["pid"] == os.getpid()


def test_a_killed_holder_leaves_a_note_but_no_lock(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert json.loads((tmp_path / "lock.json").read_text())["pid"] == holder.pid
    with hold_run(tmp_path):
        assert json.loads((tmp_path / "lock.json").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("note", ["", "{", "[]", '{"pid": 1}', '{"started": 5}'])
def test_a_holder_whose_note_cannot_be_read_is_a_holder_all_the_same(holder, tmp_path, note):
    (tmp_path / "lock.json").write_text(note)
    with pytest.raises(UserError, match="by another process; wait, or stop"), hold_run(tmp_path):
        pass


def test_an_error_inside_releases_the_run(tmp_path):
    with pytest.raises(ZeroDivisionError), hold_run(tmp_path):
        raise ZeroDivisionError
    with hold_run(tmp_path):
        pass


def test_the_same_process_cannot_hold_a_run_twice(tmp_path):
    with hold_run(tmp_path), pytest.raises(UserError), hold_run(tmp_path):
        pass


def test_a_spawned_worker_does_not_outlive_its_parents_lock(tmp_path):
    sleeper = "import sys, time; print('up', flush=True); sys.stdin.read()"
    with hold_run(tmp_path):
        worker = subprocess.Popen(
            [sys.executable, "-c", sleeper], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert worker.stdout is not None
        worker.stdout.readline()
    with hold_run(tmp_path):
        assert worker.poll() is None
    worker.communicate()


def test_who_died_is_known_to_be_gone_and_who_is_elsewhere_is_not(tmp_path):
    with hold_run(tmp_path):
        owner = read_owner(tmp_path)
        assert owner is not None
        assert not owner.is_gone
    assert read_owner(tmp_path) is None
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert replace(owner, pid=ended.pid).is_gone
    assert not replace(owner, pid=ended.pid, host="elsewhere").is_gone
    (tmp_path / "lock.json").write_text("{")
    assert read_owner(tmp_path) is None


def leave_note(directory, host, seconds_ago):
    """Leave the note of a process of another host that was last heard so long ago."""
    note = {"pid": 7, "host": host, "started": "2026-01-02T03:04:05+00:00"}
    (directory / "lock.json").write_text(json.dumps(note))
    heard = time.time() - seconds_ago
    os.utime(directory / "lock.json", (heard, heard))


def test_an_owner_on_another_host_that_is_heard_is_believed_though_its_lock_does_not_reach(
    tmp_path,
):
    leave_note(tmp_path, "elsewhere", SILENT_SECONDS - 60)
    before = (tmp_path / "lock.json").read_text()
    with pytest.raises(UserError) as refused, hold_run(tmp_path):
        pass
    assert f"{tmp_path} is being written by process 7 on elsewhere since 2026-01-02 03:04 UTC" in (
        str(refused.value)
    )
    assert "heard 6" in str(refused.value)  # 60 s ago, and a little
    assert (tmp_path / "lock.json").read_text() == before
    owner = read_owner(tmp_path)
    assert owner is not None
    assert not owner.is_gone


def test_an_owner_on_another_host_that_fell_silent_is_taken_over_and_told_of(tmp_path):
    leave_note(tmp_path, "elsewhere", SILENT_SECONDS + 60)
    owner = read_owner(tmp_path)
    assert owner is not None
    assert owner.is_gone
    with hold_run(tmp_path) as left:
        assert left == owner
    with hold_run(tmp_path) as left:
        assert left is None


def test_an_owner_is_heard_for_as_long_as_it_holds_the_run_and_no_longer(tmp_path):
    with hold_run(tmp_path, beat_seconds=0.01):
        os.utime(tmp_path / "lock.json", (1, 1))
        deadline = time.monotonic() + 30
        while (owner := read_owner(tmp_path)) is None or owner.heard.timestamp() < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert not (tmp_path / "lock.json").exists()


def test_the_note_of_another_owner_gets_no_heartbeat_of_ours(tmp_path):
    with hold_run(tmp_path, beat_seconds=0.01):
        leave_note(tmp_path, "elsewhere", 1000)
        heard = read_owner(tmp_path)
        time.sleep(0.2)
        assert read_owner(tmp_path) == heard
    assert read_owner(tmp_path) == heard  # and is not ours to remove


def test_a_run_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WorkError, match="cannot be written"), hold_run(tmp_path / "file"):
        pass
