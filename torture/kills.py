"""Kill a study at random moments, go on with it, and compare it with one that nobody killed."""

import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

from rankshift.runs import StudyRun
from rankshift.status import describe_progress
from torture.comparing import compare_runs
from torture.small_study import Bench


@dataclass(frozen=True)
class Toll:
    """What so many kills did."""

    kills: int = 0
    identical: int = 0
    """Kills of runs that then ended as the one that nobody killed."""
    lost: int = 0
    doubled: int = 0

    def __str__(self) -> str:
        return (
            f"kills {self.kills} identical {self.identical} lost {self.lost} doubled {self.doubled}"
        )

    @property
    def is_clean(self) -> bool:
        """Say whether every kill left nothing behind."""
        return self.identical == self.kills and not self.lost and not self.doubled


def torture_with_kills(bench: Bench, kills: int, seed: int) -> Toll:
    """Kill one run after another, each until it outlives its next moment, `kills` times in all.

    A moment is drawn uniformly over the time that the undisturbed run takes, from its first word
    on: a run that goes on has less left, and so is killed at its start, in its midst or not at all.

    Args:
        bench: Where studies are run.
        kills: How many.
        seed: Of the moments.
    """
    study, chance, toll = bench.write_study(), random.Random(seed), Toll()
    began = time.monotonic()
    whole = bench.finish(study, bench.folder / "whole")
    seconds = time.monotonic() - began
    print(f"undisturbed: {seconds:.0f} s", flush=True)
    while toll.kills < kills:
        root = bench.folder / "killed"
        so_far = toll.kills
        while toll.kills < kills and kill_once(bench, study, root, chance.uniform(0, seconds)):
            toll = replace(toll, kills=toll.kills + 1)
            refuse_torn(StudyRun(root / study.stem))
        found = compare_runs(whole, bench.finish(study, root))
        toll = replace(
            toll,
            identical=toll.identical + (toll.kills - so_far if found.is_identical else 0),
            lost=toll.lost + found.lost,
            doubled=toll.doubled + found.doubled,
        )
        print(f"after {time.monotonic() - began:.0f} s: {toll}", flush=True)
        if not found.is_identical:
            root.rename(bench.folder / f"not-identical-{toll.kills}")
        shutil.rmtree(root, ignore_errors=True)
    return toll


def kill_once(bench: Bench, study: Path, root: Path, seconds: float) -> bool:
    """Go on with a study and kill all its processes after so long; False if it ended before.

    The time counts from its first word, when its libraries are loaded: before that nothing can be
    lost.
    """
    process = bench.begin(study, root)
    assert process.stdout is not None
    with process:
        first = process.stdout.readline()
        assert first, "it ended without a word"
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return True
    assert process.returncode == 0, first + said
    return False


def refuse_torn(run: StudyRun) -> None:
    """See that whoever looks at a run that was killed finds whole records alone.

    Raises:
        UserError: A record is torn; names file and line.
    """
    if run.study_path.exists():
        describe_progress(run.directory)
        for path in run.directory.glob("arms/**/*.jsonl"):
            content = path.read_bytes()
            assert not content or content.endswith(b"\n"), path
