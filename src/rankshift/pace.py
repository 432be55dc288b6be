"""How long a run still takes, judged by when its files were finished."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One kind of work; stages follow one another."""

    left: float
    """Amount that is left to do."""
    finished: tuple[tuple[float, float], ...]
    """When each piece was finished, seconds since the epoch, and its amount; in any order."""


def estimate_seconds_left(stages: Sequence[Stage], started: float, now: float) -> float | None:
    """Estimate how long the stages still take; None where one has not shown its pace yet.

    A stage's pace is what it finished since the run was started, over the time from its beginning,
    which is when the stage before it finished its last piece. It is an extrapolation: what is left
    may be slower than what is done.

    Args:
        stages: In the order in which they run.
        started: When the process that runs now began, seconds since the epoch.
        now: The present.
    """
    total, begun = 0.0, started
    for stage in stages:
        pieces = [(at, amount) for at, amount in stage.finished if at >= started]
        done = sum(amount for _, amount in pieces)
        if stage.left > 0:
            if done <= 0 or now <= begun:
                return None
            total += stage.left * (now - begun) / done
        begun = max([begun, *(at for at, _ in pieces)])
    return total
