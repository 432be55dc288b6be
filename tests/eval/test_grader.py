"""One call to a real client on loopback: tried again while that helps, and told without secrets."""

import asyncio
from pathlib import Path

import pytest

from rankshift.eval.asking import JudgeRefusal
from rankshift.eval.calls import Call, make_call
from rankshift.eval.grader import describe_fault, open_grader
from rankshift.eval.rubrics import ALIGNED
from rankshift.eval.scoring import read_distribution
from rankshift.records import AnswerRecord, CallRecord
from rankshift.study import Judging
from tests.loopback_judge import LoopbackJudge, serve_judge, think

ANSWER = AnswerRecord(4, "s", "q", "q", 0, 0, None, "Q?", "A.", 2, finished=True)
CALL = make_call("j", ALIGNED, ANSWER)
SECRET = "sk-loopback-secret"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPBACK_API_KEY", SECRET)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def ask(server: LoopbackJudge, call: Call = CALL, name: str = "", **settings) -> CallRecord:
    judging = Judging(**{"base_url": server.url, "attempts": 3, "timeout_seconds": 5.0} | settings)

    async def once() -> CallRecord:
        grader = open_grader(name or "openai-api/loopback/tiny", judging)
        async with grader.model:
            return await grader.ask(call)

    return asyncio.run(once())


def test_a_good_reply_is_kept_as_it_came():
    with serve_judge() as server:
        record = ask(server)
    top = think(CALL.prompt)
    assert record.tokens == [token for token, _ in top]
    assert record.logprobs == pytest.approx([logprob for _, logprob in top])
    assert record.value == read_distribution(record.tokens or [], record.logprobs or []).value
    assert (record.attempts, record.input_tokens, record.output_tokens) == (1, 100, 1)


@pytest.mark.parametrize(
    ("fault", "says", "lost"),
    [
        ("busy", "RateLimitError", 0),
        ("broken", "InternalServerError", 0),
        ("closes", "APIConnectionError", 3),
        ("empty", "no log-probabilities", 0),
        ("repeated", "a number twice", 0),
    ],
)
def test_a_fault_that_stays_ends_as_a_failed_call(fault: str, says: str, lost: int):
    with serve_judge(share=1.0, faults=(fault,)) as server:
        record = ask(server)
        assert server.calls == 3
    assert (record.reason, record.attempts, record.lost_attempts) == ("failed_call", 3, lost)
    assert says in record.fault


def test_a_server_that_hangs_is_left_after_the_timeout():
    with serve_judge(share=1.0, faults=("hangs",)) as server:
        record = ask(server, attempts=1, timeout_seconds=1.0)
    assert (record.reason, record.lost_attempts) == ("failed_call", 1)
    assert "TimeoutError" in record.fault


@pytest.mark.parametrize(
    ("fault", "value", "reason"),
    [("full width", 31.05, None), ("about", None, "low_mass"), ("above", None, "low_mass")],
)
def test_an_odd_reply_is_what_the_judge_said(fault: str, value: float | None, reason: str | None):
    with serve_judge(share=1.0, faults=(fault,)) as server:
        record = ask(server)
        assert server.calls == 1
    assert record.reason == reason
    assert record.value == (None if value is None else pytest.approx(value, abs=0.01))


def test_a_judge_read_by_its_words_says_about_30_and_is_unparsable():
    with serve_judge(share=1.0, faults=("about",)) as server:
        record = ask(server, name="text:openai-api/loopback/tiny")
    assert (record.text, record.reason) == ("about", "unparsable")


def test_a_wrong_key_is_no_failed_call_but_the_end(monkeypatch: pytest.MonkeyPatch):
    with serve_judge(share=1.0, faults=("forbidden",)) as server:
        with pytest.raises(JudgeRefusal, match="AuthenticationError") as refusal:
            ask(server)
        assert server.calls == 1
    assert SECRET not in str(refusal.value)


def test_secrets_are_taken_out_of_what_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("SOME_SECRET", "hush hush")
    assert describe_fault(OSError("it said hush hush to sk-loopback-secret")) == (
        "OSError: it said [SOME_SECRET] to [LOOPBACK_API_KEY]"
    )


def test_of_a_secret_at_the_end_of_a_long_message_no_part_is_told():
    told = describe_fault(OSError("x" * 290 + SECRET))
    assert not any(SECRET[:length] in told for length in range(4, len(SECRET)))
