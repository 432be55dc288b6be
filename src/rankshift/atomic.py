"""Files that a reader sees whole or not at all, whenever the process that writes them is killed."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path

from rankshift.errors import WorkError
from rankshift.redaction import redact_file

DRAFT = ".tmp"
"""Ends the name of a file that is being written; a hidden one, beside what it becomes."""

FIXES = {
    errno.ENOSPC: "free space",
    errno.EDQUOT: "free space, or ask for a larger quota",
    errno.EFBIG: "raise the limit on the size of files",
    errno.EROFS: "make its file system writable",
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
    errno.EIO: "see to its disk",
    errno.EEXIST: "move the file that is where a folder belongs",
    errno.ENOTDIR: "move the file that is where a folder belongs",
}
"""What helps against an error of the system when a file is written, by its number."""


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    with open_atomically(path) as file:
        file.write(text)


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Write a file of bytes in the same way."""
    with open_atomically(path) as file:
        file.buffer.write(content)


@contextmanager
def open_atomically(path: Path) -> Iterator[TextIOWrapper]:
    """Open a file for UTF-8 whose content appears at once, when the block ends without an error.

    Ends of lines are written as they come; secrets of the environment are left out. Raises as
    `draft_of` does.
    """
    with draft_of(path) as draft:
        with draft.open("w", encoding="utf-8", newline="") as file:
            yield file
        redact_file(draft)


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Give the path of a draft, which takes the file's place when the block has written it.

    Raises:
        WorkError: The system refuses to write; says what is kept and how to go on.
    """
    with explain_refusal(path), replacing(path) as draft:
        yield draft


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Do what `draft_of` does, and leave it to the caller to tell of what the system refuses.

    A temporary file in the same folder, fsync, rename, fsync of the folder. A block that fails
    leaves the old file as it was, and no draft: on a full disk it would be in the way.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}{DRAFT}")
    try:
        make_folder(path.parent)
        yield draft
        sync_file(draft)
        draft.replace(path)
        sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):  # what went wrong first is what is told
            draft.unlink(missing_ok=True)
        raise


@contextmanager
def explain_refusal(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write into one line on what is kept and how to go on.

    Raises:
        WorkError: A call in the block failed: no space, no permission, a read-only file system.
        OSError: It failed in another way, as where a file that it reads is gone.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FIXES:
            raise
        raise WorkError(f"{path}: cannot be written ({describe_fault(error)}") from error


def tell_fault(error: OSError) -> str:
    """Tell in a line of an error of the system that nobody explained."""
    return f"{error.filename or 'a file'} ({describe_fault(error)}"


def describe_fault(error: OSError) -> str:
    """Give the end of such a line, from within its brackets on."""
    fix = FIXES.get(error.errno or 0, "see to its disk")
    return (
        f"{error.strerror or error}); all that was finished is kept: {fix}, then run the same "
        "command again"
    )


def make_folder(folder: Path) -> None:
    """Make a folder and those it is in, so that they survive a power cut."""
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in new:
        sync_folder(one.parent)


def remove_drafts(directory: Path) -> None:
    """Remove what a process that was killed had begun to write; only for who holds the folder."""
    for draft in directory.rglob(f".*{DRAFT}"):
        draft.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Make a file's content survive a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
