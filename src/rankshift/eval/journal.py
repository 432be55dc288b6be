"""The calls one judge was made in a run: an append-only file, a line on disk as each call ends."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from rankshift.records import CallRecord, parse_record, sync_folder, to_line


class Journal:
    """The file, opened for reading what is there and for appending; one process writes it.

    Killed at any moment, it holds every call that had ended but at most the last one, whose torn
    line is taken away when the file is opened again. A later line replaces an earlier one of the
    same key: a call that had failed and was made again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: dict[str, CallRecord] = {}
        self._file: BinaryIO | None = None

    def __enter__(self) -> "Journal":
        """Read what is there and open the file for appending.

        Raises:
            UserError: A whole line is no call; names file and line.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = self.path.read_bytes() if self.path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        self.records = {
            record.key: record
            for record in (
                parse_record(line, CallRecord, f"{self.path}:{at}")
                for at, line in enumerate(whole.splitlines(), start=1)
            )
        }
        self._file = self.path.open("ab")
        if len(whole) < len(content):
            self._file.truncate(len(whole))
        sync_folder(self.path.parent)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        self._file.close()

    def append(self, record: CallRecord) -> None:
        """Put one call on disk."""
        assert self._file is not None, "the journal is not open"
        self._file.write(to_line(record).encode("utf-8", errors="surrogatepass"))
        self._file.flush()
        os.fsync(self._file.fileno())
        self.records[record.key] = record

    def lacks(self, keys: Iterable[str]) -> list[str]:
        """List the calls that are still to be made: those without a line, and those that failed."""
        return [
            key
            for key in keys
            if key not in self.records or self.records[key].reason == "failed_call"
        ]
