"""What workers report decides who gets which task, and nothing is told twice."""

from collections import deque
from collections.abc import Sequence

import pytest

from rankshift.errors import UserError, WorkError
from rankshift.executor.handing import MOST_LOSSES, Lost, Report, hand_out

DONE = None


class Script:
    """Workers that say what is written for a task, attempt after attempt, one report at a time."""

    def __init__(self, size: int, lines: dict[str, list[list[Report]]]) -> None:
        self.size = size
        self.lines = lines
        self.given: list[tuple[int, str]] = []
        self.at_work: dict[int, deque[Report]] = {}

    def take(self, worker: int, task: str) -> None:
        assert worker not in self.at_work
        self.given.append((worker, task))
        self.at_work[worker] = deque(self.lines[task].pop(0))

    def wait(self) -> Sequence[tuple[int, Report]]:
        found = [(worker, reports.popleft()) for worker, reports in self.at_work.items()]
        for worker, report in found:
            if report is None or isinstance(report, Lost):
                del self.at_work[worker]
        return found


def run(crew: Script, tasks: str) -> list[tuple[str, int]]:
    told: list[tuple[str, int]] = []
    hand_out(list(tasks), crew, lambda kind, amount: told.append((kind, amount)))
    assert not crew.at_work
    assert not any(crew.lines.values())
    return [one for one in told if one[1]]


def test_whoever_is_done_gets_the_next_task_in_the_order_they_came():
    busy: list[Report] = [("steps", 1), ("steps", 1), DONE]
    crew = Script(2, {"a": [busy], "b": [[DONE]], "c": [[DONE]], "d": [[DONE]]})
    assert run(crew, "abcd") == [("steps", 1), ("steps", 1)]
    assert crew.given == [(0, "a"), (1, "b"), (1, "c"), (1, "d")]


def test_a_task_whose_worker_is_lost_is_done_again_and_only_what_is_new_is_told():
    first: list[Report] = [("steps", 3), ("answers", 1), Lost("killed")]
    # It kept 2 of 3 steps, and begins by saying so; what it answered is no longer reported.
    second: list[Report] = [("steps", 2), ("steps", 1), ("steps", 2), ("answers", 4), DONE]
    crew = Script(1, {"a": [first, second], "b": [[("steps", 1), DONE]]})
    told = run(crew, "ab")
    assert told == [("steps", 3), ("answers", 1), ("steps", 2), ("answers", 3), ("steps", 1)]
    assert [task for _, task in crew.given] == ["a", "a", "b"]


def test_a_task_that_loses_worker_after_worker_and_comes_no_further_ends_the_run():
    attempts: list[list[Report]] = [[("steps", 2), Lost("out of memory")] for _ in range(9)]
    crew = Script(1, {"a": attempts})
    with pytest.raises(WorkError) as caught:
        run(crew, "a")
    assert len(crew.given) == MOST_LOSSES
    assert str(caught.value).startswith(
        "5 workers in a row were lost over one group, the last one: out of memory; what was"
    )


def test_a_task_that_comes_further_each_time_may_lose_any_number_of_workers():
    attempts: list[list[Report]] = [[("steps", n), Lost("killed")] for n in range(1, 12)]
    crew = Script(1, {"a": [*attempts, [DONE]]})
    assert run(crew, "a") == [("steps", 1)] * 11


@pytest.mark.parametrize("kind", [UserError, WorkError])
def test_an_error_of_a_worker_comes_back_as_it_is(kind: type[Exception]):
    error = kind("so it is")
    crew = Script(1, {"a": [[error]]})  # pyright: ignore[reportArgumentType]
    with pytest.raises(kind) as caught:
        run(crew, "a")
    assert caught.value is error
