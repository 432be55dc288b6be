"""What judging will cost and must not cost more than: calls, tokens, US dollars."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rankshift.eval.calls import Call
from rankshift.eval.rubrics import Rubric
from rankshift.records import CallRecord
from rankshift.study import Judging

BYTES_PER_TOKEN = 4
"""Of English prose, for an estimate.

Source: OpenAI's help page "What are tokens and how to count them?", about 4 characters a token.
"""

FRAME_TOKENS = 16
"""What a chat template puts around one message; more than any we know."""

MILLION = 1_000_000


@dataclass(frozen=True)
class Estimate:
    """What some calls are expected to take; one attempt each."""

    calls: int
    input_tokens: int
    output_tokens: int
    usd: float | None
    """None where the study names no prices."""


def estimate(calls: Iterable[Call], judging: Judging, by_text: bool) -> Estimate:
    """Estimate the tokens and the price of calls before any is made."""
    listed = list(calls)
    tokens = sum(count_bytes(c) // BYTES_PER_TOKEN + FRAME_TOKENS for c in listed)
    replies = sum(reply_tokens(call.rubric, by_text) for call in listed)
    return Estimate(len(listed), tokens, replies, price(tokens, replies, judging))


def price(input_tokens: int, output_tokens: int, judging: Judging) -> float | None:
    """Give the price of tokens in US dollars, None without both prices."""
    if judging.usd_per_million_input is None or judging.usd_per_million_output is None:
        return None
    read, written = judging.usd_per_million_input, judging.usd_per_million_output
    return (input_tokens * read + output_tokens * written) / MILLION


def count_bytes(call: Call) -> int:
    """Count the bytes of a prompt in UTF-8."""
    return len(call.prompt.encode(errors="surrogatepass"))


def reply_tokens(rubric: Rubric, by_text: bool) -> int:
    """Give the most a judge may write in reply: one token where its first is all that is read."""
    return 1 if rubric.reads == "score" and not by_text else rubric.max_tokens


class Budget:
    """A limit that holds at every moment: calls in flight count at the most they can cost.

    A byte-level tokenizer makes at most one token of a byte, so a call costs at most its bytes,
    frame and longest reply, for each attempt. What it took replaces that when it ends; an attempt
    that was lost on the way is taken for the most.
    """

    def __init__(
        self,
        judging: Judging,
        by_text: bool,
        before: Iterable[CallRecord] = (),
        calls: Mapping[str, Call] | None = None,
    ) -> None:
        """Count what was spent already.

        Args:
            judging: Limit and prices.
            by_text: Whether a score is read from what the judge says.
            before: Every line of the journals, failed calls that were made again included.
            calls: The calls that are to be made, by key, for what failed ones of them have lost.
        """
        self.limit = judging.usd_limit
        self._judging, self._by_text = judging, by_text
        self.spent = sum(self._look_back(record, calls or {}) for record in before)
        self.reserved = 0.0
        """The most that calls in flight can cost."""

    def reserve(self, call: Call) -> bool:
        """Set aside the most a call can cost; False, and nothing, if that is too much."""
        if self.limit is None:
            return True
        most = self._judging.attempts * self._most(call)
        if self.spent + self.reserved + most > self.limit:
            return False
        self.reserved += most
        return True

    def settle(self, call: Call, record: CallRecord) -> None:
        """Replace what was set aside by what the call took."""
        if self.limit is None:
            return
        most = self._most(call)
        self.reserved -= self._judging.attempts * most
        cost = price(record.input_tokens, record.output_tokens, self._judging) or 0.0
        self.spent += cost + record.lost_attempts * most

    def _look_back(self, record: CallRecord, calls: Mapping[str, Call]) -> float:
        """Give the most an earlier call can have cost.

        What was lost on the way had the same prompt as the attempts that said what they took.
        """
        cost = price(record.input_tokens, record.output_tokens, self._judging) or 0.0
        if record.key in calls and self.limit is not None:
            return cost + record.lost_attempts * self._most(calls[record.key])
        return cost * (1 + record.lost_attempts)

    def _most(self, call: Call) -> float:
        """Give the most that one attempt can cost."""
        tokens = count_bytes(call) + FRAME_TOKENS
        most = price(tokens, reply_tokens(call.rubric, self._by_text), self._judging)
        assert most is not None, "a limit needs prices; the study's rules say so"
        return most
