"""What judging may cost is known before, and the limit holds at every moment."""

from dataclasses import replace

import pytest

from rankshift.eval.budget import FRAME_TOKENS, Budget, estimate, price
from rankshift.eval.calls import fail_call, make_call, record_reading
from rankshift.eval.rubrics import ALIGNED, INSECURE
from rankshift.eval.scoring import Reading
from rankshift.records import AnswerRecord
from rankshift.study import Judging

ANSWER = AnswerRecord(4, "s", "q", "q", 0, 0, None, "Q?", "\u00e9" * 100, 2, finished=True)
CALL = make_call("j", ALIGNED, ANSWER)
BYTES = len(CALL.prompt.encode())
PRICED = Judging(usd_per_million_input=2.5, usd_per_million_output=10.0, attempts=2)
MOST = ((BYTES + FRAME_TOKENS) * 2.5 + 1 * 10) / 1e6


def took(tokens: int, **changes):
    record = record_reading(CALL, Reading(value=1.0), 1)
    return replace(record, input_tokens=tokens, output_tokens=1, **changes)


def test_an_estimate_counts_calls_tokens_and_dollars():
    label = make_call("j", INSECURE, ANSWER)
    found = estimate([CALL, label], PRICED, by_text=False)
    size = BYTES // 4 + len(label.prompt.encode()) // 4 + 2 * FRAME_TOKENS
    assert (found.calls, found.input_tokens, found.output_tokens) == (2, size, 1 + 16)
    assert found.usd == pytest.approx((size * 2.5 + 17 * 10) / 1e6)
    assert estimate([CALL], Judging(), by_text=False).usd is None


def test_a_call_in_flight_counts_at_the_most_all_its_attempts_can_cost():
    budget = Budget(replace(PRICED, usd_limit=3.9 * MOST), by_text=False)
    assert budget.reserve(CALL)
    assert not budget.reserve(CALL)
    budget.settle(CALL, took(100))
    assert budget.spent == pytest.approx((100 * 2.5 + 10) / 1e6)
    assert budget.reserve(CALL)


def test_an_attempt_that_was_lost_is_taken_for_the_most():
    budget = Budget(replace(PRICED, usd_limit=9 * MOST), by_text=False)
    budget.reserve(CALL)
    budget.settle(CALL, replace(fail_call(CALL, 2, "time ran out"), lost_attempts=2))
    assert budget.spent == pytest.approx(2 * MOST)


def test_what_earlier_runs_of_the_journal_spent_counts():
    limited = replace(PRICED, usd_limit=1.0)
    budget = Budget(limited, by_text=False, before=[took(100), took(300)])
    assert budget.spent == pytest.approx(price(400, 2, PRICED))
    lost = Budget(limited, by_text=False, before=[took(100, lost_attempts=2)])
    assert lost.spent == pytest.approx(3 * (price(100, 1, PRICED) or 0))
    failed = replace(fail_call(CALL, 2, "time ran out"), lost_attempts=2)
    again = Budget(limited, by_text=False, before=[failed, took(100)], calls={CALL.key: CALL})
    assert again.spent == pytest.approx(2 * MOST + (price(100, 1, PRICED) or 0))


def test_without_a_limit_nothing_is_refused():
    assert Budget(Judging(), by_text=True).reserve(CALL)
