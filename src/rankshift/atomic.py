"""Files that a reader sees whole or not at all, whenever the process that writes them is killed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

from rankshift.redaction import redact_file

DRAFT = ".tmp"
"""Ends the name of a file that is being written; a hidden one, beside what it becomes."""


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

    Temporary file in the same folder, fsync, rename, fsync of the folder. Ends of lines are written
    as they come; secrets of the environment are left out.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}{DRAFT}")
    with draft.open("w", encoding="utf-8", newline="") as file:
        yield file
    redact_file(draft)
    with draft.open("rb") as written:
        os.fsync(written.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def remove_drafts(directory: Path) -> None:
    """Remove what a process that was killed had begun to write; only for who holds the folder."""
    for draft in directory.rglob(f".*{DRAFT}"):
        draft.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
