"""Workers on other machines write into a run only while the process that holds its lock lives.

The kernel ends local workers with their parent; of another machine's nobody is sure. So the holder
keeps a file fresh beside its lock, and a worker that finds it gone, stale or another's ends itself.
"""

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from rankshift.atomic import write_atomically

LEASE_NAME = "lease"
BEAT_SECONDS = 2.0
LOOK_SECONDS = 1.0
STALE_SECONDS = 60.0
"""A lease that nobody renews for so long ends its workers: twice what NFS clients cache at most
(acregmax is 30 s, nfs(5)), so that one that is renewed is not taken for stale."""
GRACE_SECONDS = 4 * LOOK_SECONDS
"""After so long no worker writes whose lease was taken away."""
SEARCH_SECONDS = 10.0
"""A new file may take so long to be seen on another machine."""


@contextmanager
def hold_lease(directory: Path) -> Iterator[str]:
    """Keep a lease on a run fresh, for as long as the context lasts; give its token.

    Only for who holds the run's lock.
    """
    token, ended = secrets.token_hex(8), threading.Event()
    path = directory / LEASE_NAME
    write_atomically(path, f"{token} 0\n")

    def renew() -> None:
        beats = 0
        while not ended.wait(BEAT_SECONDS):
            beats += 1
            write_atomically(path, f"{token} {beats}\n")

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield token
    finally:
        ended.set()
        thread.join()
        path.unlink(missing_ok=True)


def end_strangers(directory: Path) -> None:
    """Take the lease from workers whose holder died, and wait until they have ended.

    Only for who holds the run's lock, before it writes.
    """
    path = directory / LEASE_NAME
    if path.exists():
        path.unlink()
        sleep(GRACE_SECONDS)


def find_lease(directory: Path, token: str) -> bool:
    """Say whether this machine sees the run that a lease is for; looks for some seconds."""
    until = monotonic() + SEARCH_SECONDS
    while _read(directory / LEASE_NAME)[:1] != [token]:
        if monotonic() > until:
            return False
        sleep(LOOK_SECONDS)
    return True


@contextmanager
def live_by_lease(directory: Path, token: str) -> Iterator[None]:
    """End this process at once, whatever it does, if the lease ends before the context does."""
    ended = threading.Event()

    def look() -> None:
        last, since = None, monotonic()
        while not ended.wait(LOOK_SECONDS):
            found = _read(directory / LEASE_NAME)
            if found != last:
                last, since = found, monotonic()
            is_lost = found[:1] not in ([token], [])
            if is_lost or monotonic() - since > STALE_SECONDS:
                os._exit(1)

    threading.Thread(target=look, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _read(path: Path) -> list[str]:
    """Give a lease's token and beat; nothing where it cannot be read just now, "gone" if it is."""
    try:
        # Opened anew each time, which makes an NFS client ask the server.
        return path.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return ["gone"]
    except OSError:  # a stale handle, or a server that is away for a moment
        return []
