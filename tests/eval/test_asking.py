"""Calls run side by side, each ends in the journal, and what must stop them does."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.errors import WorkError
from rankshift.eval.asking import FAILURES_IN_A_ROW, JudgeRefusal, ask_all
from rankshift.eval.budget import Budget
from rankshift.eval.calls import Call, fail_call, make_call, record_reading
from rankshift.eval.journal import Journal
from rankshift.eval.rubrics import ALIGNED
from rankshift.eval.scoring import Reading
from rankshift.records import AnswerRecord, CallRecord
from rankshift.study import Judging

ANSWER = AnswerRecord(4, "s", "q", "q", 0, 0, None, "Q?", "A.", 2, finished=True)
CALLS = [make_call("j", ALIGNED, replace(ANSWER, answer=str(n))) for n in range(60)]


def run(path: Path, ask, judging: Judging | None = None, connections: int = 8) -> list[CallRecord]:
    ended: list[CallRecord] = []
    judging = judging or Judging()
    with Journal(path / "calls.jsonl") as journal:
        budget = Budget(judging, by_text=False)
        asyncio.run(ask_all(CALLS, ask, journal, budget, connections, ended.append))
    return ended


async def answer(call: Call) -> CallRecord:
    await asyncio.sleep(0)
    return replace(record_reading(call, Reading(value=9.0), 1), input_tokens=10, output_tokens=1)


def test_every_call_is_made_once_and_no_more_at_a_time_than_allowed(tmp_path: Path):
    now, most = 0, 0

    async def watched(call: Call) -> CallRecord:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        return await answer(call)

    ended = run(tmp_path, watched, connections=5)
    assert sorted(r.key for r in ended) == sorted(c.key for c in CALLS)
    assert most == 5


def test_a_refusal_stops_everything_at_once(tmp_path: Path):
    made = []

    async def refuse(call: Call) -> CallRecord:
        made.append(call)
        raise JudgeRefusal("the judge refuses calls (401)")

    with pytest.raises(WorkError, match=r"refuses calls \(401\); 0 of 60 calls were made"):
        run(tmp_path, refuse)
    assert len(made) <= 8


def test_failures_in_a_row_stop_the_rest_and_single_ones_do_not(tmp_path: Path):
    async def fail(call: Call) -> CallRecord:
        return fail_call(call, 1, "gone")

    with pytest.raises(WorkError, match="20 calls in a row failed, the last with: gone"):
        run(tmp_path, fail, connections=1)
    with Journal(tmp_path / "calls.jsonl") as journal:
        assert len(journal.records) == FAILURES_IN_A_ROW

    async def fail_often(call: Call) -> CallRecord:
        at = CALLS.index(call)
        return await (answer(call) if at % FAILURES_IN_A_ROW == 0 else fail(call))

    assert len(run(tmp_path, fail_often, connections=1)) == 60


def test_calls_wait_for_money_that_others_give_back(tmp_path: Path):
    """One call at its most fits the limit, and so do all together at what they take."""
    prices = Judging(usd_per_million_input=1.0, usd_per_million_output=1.0, attempts=1)
    most = Budget(replace(prices, usd_limit=1.0), by_text=False)._most(CALLS[-1])
    limit = replace(prices, usd_limit=60 * 11e-6 + 1.5 * most)
    assert len(run(tmp_path, answer, limit)) == 60
    with pytest.raises(WorkError, match=r"judging\.usd_limit"):
        run(tmp_path, answer, replace(prices, usd_limit=30 * 11e-6 + most))
