"""Let a disk run full at several points of a study, and go on each time there is more space."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rankshift.errors import WorkError
from rankshift.runs import StudyRun
from torture.comparing import compare_runs
from torture.kills import refuse_torn
from torture.small_study import Bench

LINE = "No space left on device"


@dataclass(frozen=True)
class Filled:
    """What so many full disks did."""

    points: int
    told: int
    """Of them those that ended in one line, with exit code 1."""
    is_identical: bool

    def __str__(self) -> str:
        same = "identical" if self.is_identical else "not identical"
        return f"disk_full {self.points} told {self.told} {same}"

    @property
    def is_clean(self) -> bool:
        """Say whether each was told and none left anything behind."""
        return self.is_identical and self.told == self.points


def torture_with_full_disks(bench: Bench, points: int) -> Filled:
    """Run a study on a disk too small for it, then a little larger, and so on.

    The disk is a file system in memory of its own; its sizes are equal steps up to what the
    finished run takes.

    Raises:
        WorkError: Such a file system cannot be mounted: only root may.
    """
    study = bench.write_study()
    whole = bench.finish(study, bench.folder / "whole")
    largest, told = _count_bytes(whole.directory), 0
    with small_disk(bench.folder / "disk") as disk:
        run = StudyRun(disk / study.stem)
        for point in range(1, points + 1):
            resize(disk, largest * point // (points + 1))
            told += run_full(bench, study, disk)
            refuse_torn(run)
        resize(disk, 4 * largest)
        bench.finish(study, disk)
        found = compare_runs(whole, run)
    return Filled(points, told, found.is_identical and not found.lost and not found.doubled)


def run_full(bench: Bench, study: Path, disk: Path) -> bool:
    """Go on with a study until the disk is full; say whether it ended as it should."""
    process = bench.begin(study, disk)
    said, _ = process.communicate()
    last = said.rstrip().splitlines()[-1]
    is_told = process.returncode == 1 and LINE in said and "Traceback" not in said
    print(f"exit code {process.returncode}: {last if is_told else said}", flush=True)
    return is_told


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a file system in memory for as long as the context lasts."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True).returncode:
        raise WorkError("a small disk cannot be mounted: run as root, where mounting is allowed")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def resize(disk: Path, size_bytes: int) -> None:
    """Give such a file system another size."""
    options = f"remount,size={size_bytes}"
    subprocess.run(["mount", "-o", options, str(disk)], check=True, capture_output=True)


def _count_bytes(folder: Path) -> int:
    """Count what a folder takes on a disk, in its pages of 4 KiB."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in files)
