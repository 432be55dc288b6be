"""A run and its mirror in object storage: what a worker takes from there, and what it brings.

What a job writes is determined by the job, so two who send the same group, as when one was taken
for lost, send the same bits. What is sent has the order in which it was written where that counts,
so the mirror is always as a kill of the writer might have left the run.
"""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from rankshift.atomic import DRAFT
from rankshift.derivation import find_source_id
from rankshift.errors import WorkError
from rankshift.executor.job import Job
from rankshift.executor.plan import Group
from rankshift.executor.ray.lease import LEASE_NAME
from rankshift.executor.storage.objects import Storage
from rankshift.lock import LOCK_NAME, OWNER_NAME
from rankshift.study import Study

SEND_SECONDS = 30.0
"""A worker that is lost takes at most so much work with it, and what it was just sending."""

HELD = ".held"
"""Begins the name of the folder of what waits to be sent last."""

Sizes = dict[str, int]
"""Names relative to the run, and bytes."""


def find_mirror(study: Study) -> Storage | None:
    """Find where a study's run is kept besides its directory: below its name.

    Raises:
        UserError: `compute.storage` is no object storage.
    """
    url = study.compute.storage
    return None if url is None else Storage(f"{url.rstrip('/')}/{study.name}")


def list_folders(job: Job) -> list[str]:
    """Name the folders that a job reads or writes: its arms', their sources', its group's."""
    sources = (find_source_id(arm, job.study, job.fingerprints) for arm in job.arms)
    return name_folders((*job.group.arms, *filter(None, sources)), job.group.id)


def name_folders(arms: Iterable[str], group: str) -> list[str]:
    """Name the folders of some arms, each once, and of a group's state."""
    return [*(f"arms/{name}" for name in dict.fromkeys(arms)), f"groups/{group}"]


def fetch_folders(storage: Storage, folders: Iterable[str], directory: Path) -> None:
    """Write what the storage has of some folders; what is here in the same size stays."""
    for folder in folders:
        here, there = list_sizes(directory, folder), storage.list_sizes(folder)
        storage.fetch((name for name in there if here.get(name) != there[name]), directory)


@contextmanager
def keep_sent(storage: Storage, folders: list[str], directory: Path) -> Iterator[None]:
    """Send what changes in some folders, every now and then and at the end.

    A round that fails is made up for by the next; only at the end it is told.
    """
    sender, ended = Sender(storage, directory), threading.Event()

    def repeat() -> None:
        while not ended.wait(SEND_SECONDS):
            with suppress(WorkError):
                sender.send(folders)

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        sender.send(folders)


class Sender:
    """Sends what is new in a directory since it last did, while another thread writes there."""

    def __init__(self, storage: Storage, directory: Path) -> None:
        """Nothing counts as sent yet."""
        self._storage, self._directory = storage, directory
        self._sent: dict[str, tuple[int, int]] = {}

    def send(self, folders: Iterable[str]) -> None:
        """Send what is new in some folders; those that are gone here are removed there.

        What must not be there without what was written before it is held first, as it is now, and
        sent last: the files beside it may move on meanwhile, and a run that was killed may look so.
        """
        chosen = list(folders)
        with TemporaryDirectory(prefix=HELD, dir=self._directory) as held:
            last = list(self._hold(chosen, Path(held)))
            for name in list_names(self._directory, chosen):
                if not comes_last(name):
                    self._put(self._directory / name, name)
            for path, name in last:
                self._put(path, name)
        for folder in chosen:
            if not (self._directory / folder).exists():
                self._storage.remove(self._storage.list_sizes(folder))

    def _hold(self, folders: list[str], held: Path) -> Iterator[tuple[Path, str]]:
        names = filter(comes_last, list_names(self._directory, folders))
        for number, name in enumerate(names):
            path = held / str(number)
            with suppress(FileNotFoundError):  # a state that was just rotated: the next round's
                os.link(self._directory / name, path)
                yield path, name

    def _put(self, path: Path, name: str) -> None:
        try:
            now = path.stat()
        except FileNotFoundError:  # a group that was just finished
            return
        mark = now.st_mtime_ns, now.st_size
        if self._sent.get(name) != mark:
            self._storage.put(path, name)
            self._sent[name] = mark


def comes_last(name: str) -> bool:
    """Say whether a file tells that others are whole: a state, provenance, or answers."""
    return name.startswith("groups/") or name.endswith("/provenance.json") or "/answers/" in name


def settle_run(storage: Storage, groups: Iterable[Group], directory: Path) -> None:
    """Bring a run and its mirror together before anything is done, for who holds the run's lock.

    Of a group both sides may have a part. The further one is kept, and the other replaced: a part
    of each would be a run that no kill leaves. Where both are as far, as when both are finished,
    each gets what it lacks. Records only grow, so the further side is the one with more of them.
    """
    there, here = storage.list_sizes(), list_sizes(directory)
    for group in groups:
        folders = tuple(f"{folder}/" for folder in name_folders(group.arms, group.id))
        ours, theirs = (
            {name: size for name, size in sizes.items() if name.startswith(folders)}
            for sizes in (here, there)
        )
        if count_records(ours) > count_records(theirs):
            storage.remove(theirs)
            theirs = {}
        elif count_records(theirs) > count_records(ours):
            for name in ours:
                (directory / name).unlink(missing_ok=True)
            ours = {}
        storage.fetch(sorted(theirs.keys() - ours.keys(), key=comes_last), directory)
        for name in sorted(ours.keys() - theirs.keys(), key=comes_last):
            storage.put(directory / name, name)


def fetch_plan(storage: Storage, directory: Path) -> None:
    """Write what the mirror has besides arms and groups, and this run has not.

    That is what a run must have before it is planned, on a machine that it is new to.
    """
    here = list_sizes(directory)
    names = (name for name in storage.list_sizes() if not name.startswith(("arms/", "groups/")))
    storage.fetch((name for name in names if name not in here), directory)


def send_run(storage: Storage, directory: Path) -> None:
    """Send what the mirror lacks of a run in which nobody writes, or has in another size.

    What stands outside of arms, and verdicts, may change and keep its size: it is sent each time.
    """
    there, here = storage.list_sizes(), list_sizes(directory)
    for name in sorted(here, key=comes_last):
        may_change = not name.startswith("arms/") or "/verdicts/" in name
        if may_change or here[name] != there.get(name):
            storage.put(directory / name, name)


def count_records(sizes: Sizes) -> int:
    """Sum the bytes of the records of arms' training, whose names are `arms/ID/RECORDS.jsonl`."""
    return sum(
        size for name, size in sizes.items() if name.count("/") == 2 and name.endswith(".jsonl")
    )


def list_sizes(directory: Path, folder: str = "") -> Sizes:
    """Map every file in a folder of a run to its bytes; none where there is no folder."""
    return {name: (directory / name).stat().st_size for name in list_names(directory, [folder])}


def list_names(directory: Path, folders: Iterable[str]) -> list[str]:
    """List the files of a run's folders but drafts, and what says who holds the run here."""
    paths = (path for folder in folders for path in sorted((directory / folder).rglob("*")))
    names = (path.relative_to(directory).as_posix() for path in paths if path.is_file())
    ours = (LOCK_NAME, OWNER_NAME, LEASE_NAME)
    return [
        name
        for name in names
        if name not in ours and not name.endswith(DRAFT) and not name.startswith(HELD)
    ]
