"""Make a judge's calls side by side, each into the journal; money and faults stop them in time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

from rankshift.errors import WorkError
from rankshift.eval.budget import Budget
from rankshift.eval.calls import Call
from rankshift.eval.journal import Journal
from rankshift.records import CallRecord

Ask = Callable[[Call], Awaitable[CallRecord]]
"""Makes one call, its attempts included, and always gives a record."""

FAILURES_IN_A_ROW = 20
"""After so many failed calls with no good one between, a judge is taken to be gone."""


class JudgeRefusal(Exception):
    """The judge will take no call as this one is made: a wrong key, a model that is not there."""


async def ask_all(
    calls: Sequence[Call],
    ask: Ask,
    journal: Journal,
    budget: Budget,
    connections: int,
    advance: Callable[[CallRecord], None],
) -> None:
    """Make every call; whatever ends it early, what had been answered is in the journal.

    Args:
        calls: What is to be made, each once.
        ask: Makes one.
        journal: Where a record goes as soon as its call ends.
        budget: Holds the limit in US dollars.
        connections: Calls in flight at most.
        advance: Told of every record.

    Raises:
        WorkError: The limit is reached, the judge is gone or refuses, or a record cannot be
            written; says how to go on.
    """
    shift = _Shift(iter(calls), ask, journal, budget, advance)
    async with asyncio.TaskGroup() as group:
        for _ in range(min(connections, len(calls))):
            group.create_task(shift.work())
    if shift.stopped is not None:
        raise WorkError(
            f"{shift.stopped}; {shift.ended} of {len(calls)} calls were made and are kept in "
            f"{journal.path}"
        )


class _Shift:
    """Workers that take calls from one queue until it is empty or one of them stops all."""

    def __init__(
        self,
        queue: Iterator[Call],
        ask: Ask,
        journal: Journal,
        budget: Budget,
        advance: Callable[[CallRecord], None],
    ) -> None:
        self.queue, self.ask, self.journal = queue, ask, journal
        self.budget, self.advance = budget, advance
        self.stopped: str | None = None
        self.ended = 0
        self.in_flight = 0
        self.failed_in_a_row = 0
        self.settled = asyncio.Event()

    async def work(self) -> None:
        for call in self.queue:
            if not await self._may_begin(call):
                return
            self.in_flight += 1
            try:
                record = await self.ask(call)
            except JudgeRefusal as refusal:
                self.stopped = str(refusal)
                return
            finally:
                self.in_flight -= 1
                self.settled.set()
            self.budget.settle(call, record)
            try:
                self.journal.append(record)
                self._count(record)
                self.advance(record)
            except WorkError as fault:  # a full disk, say: calls in flight end, no other begins
                self.stopped = str(fault)
                return

    async def _may_begin(self, call: Call) -> bool:
        """Wait for money that calls in flight may give back; without any, stop all."""
        while self.stopped is None and not self.budget.reserve(call):
            if not self.in_flight:
                self.stopped = (
                    f"the next call could cost more than judging.usd_limit = {self.budget.limit:g} "
                    f"US dollars leaves (spent {self.budget.spent:.4f}); raise it and run again"
                )
                break
            self.settled.clear()
            await self.settled.wait()
        return self.stopped is None

    def _count(self, record: CallRecord) -> None:
        self.ended += 1
        failed = record.reason == "failed_call"
        self.failed_in_a_row = self.failed_in_a_row + 1 if failed else 0
        if self.failed_in_a_row >= FAILURES_IN_A_ROW:
            self.stopped = (
                f"{FAILURES_IN_A_ROW} calls in a row failed, the last with: {record.fault}; see "
                "that the judge can be reached and run again"
            )
