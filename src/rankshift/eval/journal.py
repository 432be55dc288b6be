"""The calls one judge was made in a run: an append-only file, a line on disk as each call ends."""

import os
from collections.abc import Iterable, Mapping
from io import FileIO
from pathlib import Path

from rankshift.atomic import explain_refusal, make_folder, sync_folder
from rankshift.records import CallRecord, parse_record, to_line
from rankshift.redaction import redact


class Journal:
    """The file, opened for reading what is there and for appending; one process writes it.

    Killed at any moment, it holds every call that had ended but at most the last one, whose torn
    line is taken away when the file is opened again. A later line replaces an earlier one of the
    same key: a call that had failed and was made again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: dict[str, CallRecord] = {}
        self._file: FileIO | None = None

    def __enter__(self) -> "Journal":
        """Read what is there and open the file for appending.

        Raises:
            UserError: A whole line is no call; names file and line.
            WorkError: The system refuses to write.
        """
        self.records = read_journal(self.path)
        content, whole = _read_whole_lines(self.path)
        with explain_refusal(self.path):
            make_folder(self.path.parent)
            # Unbuffered: what a full disk refused must not be tried again when the file is closed.
            self._file = self.path.open("ab", buffering=0)
            if len(whole) < len(content):
                self._file.truncate(len(whole))
                os.fsync(self._file.fileno())
            sync_folder(self.path.parent)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        self._file.close()

    def append(self, record: CallRecord) -> None:
        """Put one call on disk, whole or not at all.

        Raises:
            WorkError: The system refuses to write; every earlier call is kept.
        """
        assert self._file is not None, "the journal is not open"
        line = redact(to_line(record)).encode("utf-8", errors="surrogatepass")
        before = os.fstat(self._file.fileno()).st_size
        with explain_refusal(self.path):
            try:
                while line:  # a disk that is almost full takes a part first
                    line = line[self._file.write(line) :]
                os.fsync(self._file.fileno())
            except OSError:
                self._file.truncate(before)
                raise
        self.records[record.key] = record


def read_journal(path: Path) -> dict[str, CallRecord]:
    """Read the calls of a journal, by key; none where there is no file.

    Raises:
        UserError: A whole line is no call; names file and line.
    """
    return {record.key: record for record in list_lines(path)}


def list_lines(path: Path) -> list[CallRecord]:
    """Read every line of a journal, calls that were made again included.

    Raises:
        UserError: A whole line is no call; names file and line.
    """
    lines = enumerate(_read_whole_lines(path)[1].splitlines(), start=1)
    return [parse_record(line, CallRecord, f"{path}:{at}") for at, line in lines]


def list_lacking(records: Mapping[str, CallRecord], keys: Iterable[str]) -> list[str]:
    """List the calls that are still to be made: those without a record, and those that failed."""
    return [key for key in keys if key not in records or records[key].reason == "failed_call"]


def _read_whole_lines(path: Path) -> tuple[bytes, bytes]:
    """Give what a file holds, and that without a line that a kill has torn."""
    content = path.read_bytes() if path.exists() else b""
    return content, content[: content.rfind(b"\n") + 1]
