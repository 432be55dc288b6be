"""Object storage, by any protocol that fsspec speaks: names below one URL, each put whole."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rankshift.atomic import draft_of
from rankshift.errors import UserError, WorkError
from rankshift.study_values import is_storage_address


class Storage:
    """Objects below one URL; their names are paths relative to it.

    An object is there whole or not at all, which object stores promise and folders do not: those
    are refused.
    """

    def __init__(self, url: str) -> None:
        """Nothing is asked of the storage yet.

        Raises:
            UserError: The URL is not one of object storage, or what speaks its protocol is missing.
        """
        from fsspec.core import url_to_fs
        from fsspec.implementations.local import LocalFileSystem

        if not is_storage_address(url):  # an option of the command line comes by no study file
            raise UserError(
                f"compute.storage = {url}: expected a URL such as s3://bucket/folder, with no key "
                "in it"
            )
        self.url = url
        try:
            self._files, root = url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise UserError(
                f"compute.storage = {url}: {error}; give a URL such as s3://bucket/folder, and "
                "install what speaks its protocol (for s3: `pip install s3fs`)"
            ) from None
        if isinstance(self._files, LocalFileSystem):
            raise UserError(
                f"compute.storage = {url}: is a folder, and takes files piece by piece; if every "
                "node sees it, give it with --runs and leave the storage out"
            )
        self._root = root.rstrip("/")

    def list_sizes(self, folder: str = "") -> dict[str, int]:
        """Map the name of every object in a folder and below to its bytes; none is no error.

        Raises:
            WorkError: The storage cannot be reached or refuses; so it is with every method.
        """
        with self._explaining():
            self._files.invalidate_cache()
            found: dict[str, Any] = self._files.find(self._place(folder), detail=True)
        return {name.removeprefix(f"{self._root}/"): file["size"] for name, file in found.items()}

    def fetch(self, names: Iterable[str], directory: Path) -> None:
        """Write objects below a directory, under their names."""
        for name in names:
            with draft_of(directory / name) as draft, self._explaining():
                self._files.get_file(self._place(name), str(draft))

    def put(self, path: Path, name: str) -> None:
        """Make an object of a file."""
        with self._explaining():
            self._files.put_file(str(path), self._place(name))

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects that are there."""
        for name in names:
            with self._explaining():
                self._files.rm_file(self._place(name))

    def _place(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except list_faults() as error:
            told = " ".join(str(error).split()) or type(error).__name__
            raise WorkError(
                f"{self.url}: cannot be read or written ({told}); all that was finished is kept: "
                "see to the address and the keys, then run the same command again"
            ) from error


def list_faults() -> tuple[type[BaseException], ...]:
    """List what a storage's own library raises: Amazon's has errors that are no OSErrors."""
    botocore = sys.modules.get("botocore.exceptions")
    own = (botocore.BotoCoreError, botocore.ClientError) if botocore else ()
    return (OSError, *own)
