"""Which checkpoints of a group's arms answer together.

Arms keep other steps where they crossed something. The n-th wave is the n-th checkpoint of every
arm that has so many; an arm without one is not in it and costs nothing. Waves follow from what the
arms keep, not from what is already answered, so that whoever shares a wave does so after a kill too
and answers stay the same bit for bit.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from rankshift.runs import ArmFiles

Wave = dict[int, int]
"""Arm, by its place in the group, to the step whose weights answer."""


def list_waves(due: Sequence[Sequence[int]]) -> list[Wave]:
    """Divide every arm's steps, which rise, into waves; where all keep the same, one a step."""
    count = max(map(len, due), default=0)
    return [
        {arm: steps[number] for arm, steps in enumerate(due) if number < len(steps)}
        for number in range(count)
    ]


def find_open_waves(
    files: Sequence[ArmFiles],
    due: Sequence[Sequence[int]],
    evaluation: str,
    last: Callable[[ArmFiles, str, int], Path] = ArmFiles.answers_path,
) -> list[Wave]:
    """List the waves in which any arm has not answered an evaluation.

    Args:
        files: Of each arm.
        due: Steps of each arm.
        evaluation: Its id.
        last: Names the file that is written last of an arm at a step.
    """
    return [
        wave
        for wave in list_waves(due)
        if not all(last(files[arm], evaluation, step).exists() for arm, step in wave.items())
    ]


def divide_neighbours(arms: Sequence[int], most: int) -> list[range]:
    """Divide arms, which rise, into runs of neighbours of at most a number."""
    runs: list[range] = []
    for arm in arms:
        if runs and arm == runs[-1].stop and len(runs[-1]) < most:
            runs[-1] = range(runs[-1].start, arm + 1)
        else:
            runs.append(range(arm, arm + 1))
    return runs
