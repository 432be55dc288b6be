"""One writer for a run: two processes must never mix their records."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from rankshift.errors import UserError
from rankshift.records import remove_drafts, write_atomically

LOCK_NAME = "lock"
OWNER_NAME = "lock.json"
"""A note for people on who holds the lock; the lock itself is the kernel's."""


@contextmanager
def hold_run(directory: Path) -> Iterator[None]:
    """Hold a run's directory for writing; readers never need to.

    The kernel releases the lock when the process dies, however it dies, so what a dead process
    left is taken over, and the drafts of files it never finished are removed. A *forked* child
    would keep the lock: worker processes are spawned.

    Raises:
        UserError: Another process holds it; names the process, its host and since when.
    """
    lock = FileLock(directory / LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(_describe_owner(directory)) from None
    owner = directory / OWNER_NAME
    try:
        remove_drafts(directory)
        write_atomically(owner, json.dumps(_describe_self()) + "\n")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


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

    @property
    def label(self) -> str:
        """Name it for people."""
        since = f"{self.started.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        return f"process {self.pid} on {self.host} since {since}"

    @property
    def is_gone(self) -> bool:
        """Say whether it is known to have died; of another host's process nothing is known."""
        if self.host != socket.gethostname():
            return False
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
    try:
        note = json.loads((directory / OWNER_NAME).read_text(encoding="utf-8"))
        return Owner(int(note["pid"]), str(note["host"]), datetime.fromisoformat(note["started"]))
    except (OSError, ValueError, KeyError, TypeError):  # its owner has only just begun or ended
        return None
