"""Where files lie that can be made or downloaded again."""

import os
from pathlib import Path


def cache_directory() -> Path:
    """Give the folder of such files: $RANKSHIFT_CACHE or ~/.cache/rankshift."""
    return Path(os.environ.get("RANKSHIFT_CACHE") or Path.home() / ".cache" / "rankshift")
