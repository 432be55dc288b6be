"""One writer for a run: two processes must never mix their records."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from rankshift.atomic import explain_refusal, remove_drafts, write_atomically
from rankshift.errors import UserError

LOCK_NAME = "lock"
OWNER_NAME = "lock.json"
"""A note for people, and for other hosts, on who holds the lock; the lock itself is the kernel's.

Its time of change is its owner's heartbeat."""

BEAT_SECONDS = 20.0
"""So often an owner says that it lives, by the time of its note."""

SILENT_SECONDS = 120.0
"""An owner on another host that has not been heard for so long is taken to be gone: six beats."""


@contextmanager
def hold_run(directory: Path, beat_seconds: float = BEAT_SECONDS) -> Iterator["Owner | None"]:
    """Hold a run's directory for writing; readers never need to.

    The kernel releases the lock when the process dies, however it dies, so what a dead process
    left is taken over, and the drafts of files it never finished are removed. A *forked* child
    would keep the lock: worker processes are spawned. Not every network file system carries locks
    from host to host: an owner on another host whose heart still beats is believed, lock or no.

    Args:
        directory: The run's.
        beat_seconds: Time between two beats.

    Yields:
        The owner that had died without letting go, None where there was none.

    Raises:
        UserError: Another process holds it; names the process, its host and since when.
        WorkError: The directory cannot be written.
    """
    lock = FileLock(directory / LOCK_NAME)
    with explain_refusal(directory / LOCK_NAME):
        try:
            lock.acquire(timeout=0)
        except Timeout:  # which is an error of the system too
            raise UserError(_describe_owner(directory)) from None
    try:
        left = _take_over(directory)
        with _keep_note(directory / OWNER_NAME, beat_seconds):
            remove_drafts(directory)
            yield left
    finally:
        lock.release()


def _take_over(directory: Path) -> "Owner | None":
    """Give the owner that left a note behind; refuse while one on another host is heard."""
    owner = read_owner(directory)
    if owner is None or owner.host == socket.gethostname():
        return owner  # the kernel of this host says that nobody holds the lock
    # By the clock of the file system: hosts' clocks differ.
    os.utime(directory / LOCK_NAME)
    now = datetime.fromtimestamp((directory / LOCK_NAME).stat().st_mtime, UTC)
    silent = (now - owner.heard).total_seconds()
    if silent < SILENT_SECONDS:
        raise UserError(
            f"{directory} is being written by {owner.label}, heard {max(silent, 0):.0f} s ago, "
            "though its lock does not reach this host; wait, or stop that process and run again "
            f"{SILENT_SECONDS:.0f} s later"
        )
    return owner


@contextmanager
def _keep_note(note: Path, beat_seconds: float) -> Iterator[None]:
    """Keep a note on this process as owner, with a heartbeat, for as long as the block lasts."""
    text = json.dumps(_describe_self()) + "\n"
    write_atomically(note, text)
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(beat_seconds):
            # A beat that cannot be given now is given next time.
            with suppress(OSError):
                if note.read_text(encoding="utf-8") == text:
                    os.utime(note)

    heart = threading.Thread(target=beat, name="heartbeat", daemon=True)
    heart.start()
    try:
        yield
    finally:
        ended.set()
        heart.join()
        # A note that stays is taken for a dead owner's; one of another owner is not ours to remove.
        with suppress(OSError):
            if note.read_text(encoding="utf-8") == text:
                note.unlink()


def _describe_self() -> dict[str, str | int]:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "started": started}


def _describe_owner(directory: Path) -> str:
    owner = read_owner(directory)
    told = "another process" if owner is None else owner.label
    return f"{directory} is being written by {told}; wait, or stop that process"


@dataclass(frozen=True)
class Owner:
    """The process that writes a run, as it says of itself."""

    pid: int
    host: str
    started: datetime
    heard: datetime
    """Its last heartbeat, by the clock of the file system."""

    @property
    def label(self) -> str:
        """Name it for people."""
        since = f"{self.started.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        return f"process {self.pid} on {self.host} since {since}"

    @property
    def is_gone(self) -> bool:
        """Say whether it has died: of this host's processes that is known, of others heard."""
        if self.host != socket.gethostname():
            return time.time() - self.heard.timestamp() > SILENT_SECONDS
        try:
            os.kill(self.pid, 0)  # asks only whether it is there
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def read_owner(directory: Path) -> Owner | None:
    """Read who says that it holds a run, None for nobody; the lock itself is not touched.

    To try the lock would keep out a writer that comes in that moment.
    """
    path = directory / OWNER_NAME
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        heard = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        started = datetime.fromisoformat(note["started"])
        return Owner(int(note["pid"]), str(note["host"]), started, heard)
    except (OSError, ValueError, KeyError, TypeError):  # its owner has only just begun or ended
        return None
