"""Sweep the rank of a finetune; measure what it learned, and whom it became."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rankshift.frames.loading


def load(directory: "str | os.PathLike[str]") -> "rankshift.frames.loading.Frames":
    """Read a run as pandas frames: `load("runs/demo").arms`; docs/frames.md says what they hold.

    Raises:
        UserError: The directory is not a study's, or a file in it was edited.
    """
    from pathlib import Path

    from rankshift.frames.loading import load_frames  # late: to import rankshift takes no time

    return load_frames(Path(directory))
