"""Folders that are there whole or not at all, and that say what they hold.

Each exported folder carries a manifest with the SHA-256 of its files. By it a folder of ours is
told from somebody else's and from one that was edited since: those are never overwritten.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rankshift.atomic import explain_refusal, make_folder, sync_file, sync_folder
from rankshift.data.conversations import fingerprint_file
from rankshift.errors import UserError, WorkError
from rankshift.lock import LOCK_NAME, OWNER_NAME
from rankshift.sealed import read_sealed, write_sealed

MANIFEST = "rankshift.json"

DRAFT = ".draft"
"""Ends the name of a folder that is being written, or is about to be removed; a hidden one."""

Content = Mapping[str, Path | bytes]
"""Name of a file to the file it is copied from, or to what it holds."""

State = Literal["written", "replaced", "unchanged"]


@dataclass(frozen=True)
class Manifest:
    """What an exported folder is of, and what it holds."""

    study: str
    arm: str
    """The arm's id."""
    step: int
    files: dict[str, str]
    """Name of every other file to its SHA-256."""


def refuse_foreign(out: Path) -> None:
    """Refuse to write among files that no export made.

    Raises:
        UserError: Something in the folder is not an export; names it.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file where a folder is needed; give another --out")
    for entry in sorted(out.iterdir()) if out.exists() else ():
        is_ours = entry.name in (LOCK_NAME, OWNER_NAME) or entry.name.endswith((DRAFT, ".tmp"))
        if not is_ours and not (entry / MANIFEST).is_file():
            raise UserError(
                f"{out} holds {entry.name}, which is not an export: nothing is overwritten; give "
                "another --out"
            )


def refuse_edited(folder: Path) -> None:
    """Refuse to replace an export that was changed by hand since.

    Raises:
        UserError: A file was edited, added or removed; names it.
    """
    if not folder.exists():
        return
    fix = f"move {folder} away, or give another --out"
    (manifest,) = read_sealed(folder / MANIFEST, fix, manifest=Manifest)
    held = {path.name: path for path in folder.iterdir() if path.name != MANIFEST}
    for name in sorted({*held, *manifest.files}):
        known = manifest.files.get(name)
        if name not in held or known is None or fingerprint_file(held[name]) != known:
            raise UserError(f"{folder / name}: was changed after it was exported; {fix}")


def write_folder(folder: Path, manifest: Manifest, content: Content) -> State:
    """Write a folder so that a reader sees none of it, the old one or all of the new one.

    The same content is not written again. Call `refuse_edited` first.

    Raises:
        WorkError: The system refuses to write; the folder is as it was.
    """
    before = folder.exists()
    if before:
        (held,) = read_sealed(folder / MANIFEST, "export again", manifest=Manifest)
        if held == manifest:
            return "unchanged"
    draft = folder.with_name(f".{folder.name}.{os.getpid()}{DRAFT}")
    try:
        with explain_refusal(folder):
            make_folder(draft)
            for name, source in content.items():
                _write_file(draft / name, source)
            write_sealed(draft / MANIFEST, manifest=manifest)  # and the draft folder's entries
    except WorkError:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    if before:
        old = folder.with_name(f".{folder.name}.old{DRAFT}")
        folder.rename(old)
        draft.rename(folder)
        shutil.rmtree(old)
    else:
        draft.rename(folder)
    sync_folder(folder.parent)
    return "replaced" if before else "written"


def remove_unfinished(out: Path) -> None:
    """Remove what an export that was killed left; only for who holds the folder's lock."""
    for draft in out.glob(f".*{DRAFT}"):
        shutil.rmtree(draft)


def fingerprint_content(content: Content) -> dict[str, str]:
    """Give the SHA-256 of each file that will be written."""
    return {
        name: fingerprint_file(source)
        if isinstance(source, Path)
        else hashlib.sha256(source).hexdigest()
        for name, source in sorted(content.items())
    }


def _write_file(path: Path, source: Path | bytes) -> None:
    if isinstance(source, Path):
        shutil.copyfile(source, path)
    else:
        path.write_bytes(source)
    sync_file(path)
