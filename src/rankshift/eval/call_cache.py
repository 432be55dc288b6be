"""What judges said in other runs, so that the same call is not paid for twice."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rankshift.atomic import write_atomically
from rankshift.cache import cache_directory
from rankshift.errors import UserError
from rankshift.records import CallRecord, parse_record, to_line


@dataclass(frozen=True)
class CallCache:
    """A folder of one judge's calls; a call is a file named by its key, plain JSON."""

    folder: Path

    def find(self, key: str) -> CallRecord | None:
        """Give a call as one that took nothing now; None if it is not there whole."""
        path = self._path(key)
        try:
            record = parse_record(path.read_bytes(), CallRecord, str(path))
        except (OSError, UserError):  # what can be bought again is not worth an error
            return None
        if record.key != key:
            return None
        return replace(record, attempts=0, lost_attempts=0, input_tokens=0, output_tokens=0)

    def keep(self, record: CallRecord) -> None:
        """Keep a call, unless it failed."""
        if record.reason != "failed_call" and not self._path(record.key).exists():
            write_atomically(self._path(record.key), to_line(record))

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


def find_cache(judge: str, facts: Mapping[str, object]) -> CallCache:
    """Find the cache of a judge; another place, or other weights, is another judge.

    Args:
        judge: Its name.
        facts: What tells it from another of the same name.
    """
    told = json.dumps([judge, facts], sort_keys=True)
    return CallCache(cache_directory() / "calls" / hashlib.sha256(told.encode()).hexdigest()[:16])
