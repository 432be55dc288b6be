"""Hand tasks to workers, the next one to whoever is done; what the workers are does not matter.

Processes of this machine, Ray's and those of a simulation are handed theirs by the same code.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

from rankshift.errors import UserError, WorkError
from rankshift.executor.watch import Unit

Advance = Callable[[Unit, int], None]

MOST_LOSSES = 5
"""So many workers in a row may be lost over one task without any progress between."""


@dataclass(frozen=True)
class Lost:
    """A worker is gone with its task, which can be done again by another."""

    reason: str


Report = tuple[Unit, int] | UserError | WorkError | Lost | None
"""What was just done, an error, or None for a task that is finished."""

Task = TypeVar("Task", contravariant=True)


@runtime_checkable
class Crew(Protocol[Task]):
    """Workers with numbers from 0, each at one task at most."""

    size: int

    def take(self, worker: int, task: Task) -> None:
        """Give an idle worker a task."""
        ...

    def wait(self) -> Sequence[tuple[int, Report]]:
        """Wait until a worker reports; give who reports what, in the order it came."""
        ...


@dataclass
class _Turn:
    """A task at work."""

    task: object
    told: dict[Unit, int] = field(default_factory=dict)
    """What was passed on of it, by all who tried."""
    done: dict[Unit, int] = field(default_factory=dict)
    """What the worker that has it now says it did."""
    losses: int = 0
    """Workers lost over it since it last came further."""

    def find_news(self, kind: Unit, amount: int) -> int:
        """Count what was not passed on yet: who takes a task up again begins at what is on disk."""
        self.done[kind] = self.done.get(kind, 0) + amount
        news = max(0, self.done[kind] - self.told.get(kind, 0))
        self.told[kind] = self.told.get(kind, 0) + news
        self.losses = 0 if news else self.losses
        return news


def hand_out(tasks: Iterable[Task], crew: Crew[Task], advance: Advance) -> None:
    """Give every worker a task and then the next, and pass on what they report.

    A task whose worker is lost goes to another, which continues from what is on disk; nothing is
    passed on twice.

    Raises:
        UserError: A worker met one; so it is with a WorkError.
        WorkError: A task loses worker after worker and comes no further.
    """
    waiting = deque(_Turn(task) for task in tasks)
    idle = list(reversed(range(crew.size)))
    at_work: dict[int, _Turn] = {}
    while waiting or at_work:
        while waiting and idle:
            worker, turn = idle.pop(), waiting.popleft()
            crew.take(worker, turn.task)  # pyright: ignore[reportArgumentType]
            at_work[worker] = turn
        for worker, report in crew.wait():
            if isinstance(report, UserError | WorkError):
                raise report
            if isinstance(report, tuple):
                kind, amount = report
                advance(kind, at_work[worker].find_news(kind, amount))
                continue
            turn = at_work.pop(worker)
            idle.append(worker)
            if isinstance(report, Lost):
                waiting.appendleft(_count_loss(turn, report))


def _count_loss(turn: _Turn, lost: Lost) -> _Turn:
    turn.losses += 1
    turn.done = {}
    if turn.losses >= MOST_LOSSES:
        raise WorkError(
            f"{turn.losses} workers in a row were lost over one group, the last one: {lost.reason}"
            "; what was finished is kept: run the same command again, with a smaller "
            "arms_per_group if they ran out of memory"
        )
    return turn
