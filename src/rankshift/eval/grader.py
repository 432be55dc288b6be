"""Any Inspect model as a judge: a call is tried while that may help, and never lacks a record."""

import asyncio
import random
import re
from dataclasses import dataclass, replace
from typing import Any

from inspect_ai.model import GenerateConfig, Model, ModelOutput, get_model
from inspect_ai.util import LimitExceededError

from rankshift.errors import UserError
from rankshift.eval.asking import JudgeRefusal
from rankshift.eval.calls import Call, fail_call, record_reading
from rankshift.eval.replies import MalformedReply, judge_config, read_reply
from rankshift.records import CallRecord
from rankshift.redaction import redact
from rankshift.study import Judging

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 60.0
"""Between attempts: twice as long each time, and at random between half of that and all of it."""

REFUSED = (401, 403, 404)
"""HTTP answers that every other call would get too: wrong key, no right, no such model."""


@dataclass(frozen=True)
class Grader:
    """An Inspect model that judges."""

    model: Model
    by_text: bool
    """Whether a score is read from what it says, for want of log-probabilities."""
    attempts: int
    timeout_seconds: float

    async def ask(self, call: Call) -> CallRecord:
        """Make one call.

        An attempt is followed by another when the connection failed, the server was busy or broken,
        time ran out, or the reply lacked what was asked for.

        Raises:
            JudgeRefusal: No call at all would be taken.
        """
        took, lost, fault, attempt = (0, 0), 0, "", 0
        for attempt in range(1, self.attempts + 1):
            if attempt > 1:
                await asyncio.sleep(_wait_seconds(attempt))
            try:
                output = await self._generate(call)
            except LimitExceededError:  # of an Inspect eval, which must end, not go on failing
                raise
            except Exception as error:
                cause = _find_cause(error)
                fault = describe_fault(cause)
                status = getattr(cause, "status_code", None)
                if status in REFUSED:
                    raise JudgeRefusal(f"the judge refuses calls ({fault})") from None
                lost += status is None
                if not self._may_help(cause):
                    break
                continue
            took = _add_usage(took, output)
            try:
                reply = read_reply(output, call.rubric, self.by_text)
            except MalformedReply as malformed:
                fault = f"{malformed} (stopped by {output.stop_reason})"
                continue
            return replace(
                record_reading(call, reply.reading, attempt),
                text=reply.text,
                tokens=reply.tokens,
                logprobs=reply.logprobs,
                lost_attempts=lost,
                input_tokens=took[0],
                output_tokens=took[1],
            )
        failed = fail_call(call, attempt, fault)
        return replace(failed, lost_attempts=lost, input_tokens=took[0], output_tokens=took[1])

    async def _generate(self, call: Call) -> ModelOutput:
        config = judge_config(call.rubric, self.by_text)
        # Inspect's own cache stays off: it would keep malformed replies, and in pickles.
        async with asyncio.timeout(self.timeout_seconds):
            return await self.model.generate(call.prompt, config=config, cache=False)

    def _may_help(self, cause: BaseException) -> bool:
        if isinstance(cause, TimeoutError):
            return True
        return bool(self.model.api.should_retry(cause)) if isinstance(cause, Exception) else False


def open_grader(name: str, judging: Judging) -> Grader:
    """Open an Inspect model as a judge; nothing is sent yet.

    Args:
        name: As Inspect names models, `provider/model`; `text:` before it reads scores from words.
        judging: Address, patience and connections.

    Raises:
        UserError: Inspect has no such model, or a package or a key is missing.
    """
    by_text = name.startswith("text:")
    target = name.removeprefix("text:")
    config = GenerateConfig(max_retries=0, max_connections=judging.connections)
    # Attempts are counted here, so OpenAI's client must not make some of its own.
    options: dict[str, Any] = (
        {"max_retries": 0} if target.split("/")[0] in ("openai", "openai-api") else {}
    )
    try:
        model = get_model(
            target, config=config, base_url=judging.base_url, memoize=False, **options
        )
    except Exception as error:  # Inspect raises its own, ValueError and ImportError alike
        said = " ".join(re.sub(r"\[/?[\w ]+\]", "", str(error)).split())
        raise UserError(f"judge {name}: Inspect cannot open it: {redact(said)}") from None
    return Grader(model, by_text, judging.attempts, judging.timeout_seconds)


def describe_fault(error: BaseException) -> str:
    """Say in one line what went wrong, without secrets."""
    # Cut last: of a secret that was cut first, the rest would stay.
    said = " ".join(redact(str(error)).split())[:300]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _find_cause(error: BaseException) -> BaseException:
    """Give what lies under the wrapping of retries."""
    last: Any = getattr(error, "last_attempt", None)
    if last is not None and last.exception() is not None:
        return _find_cause(last.exception())
    return error


def _add_usage(took: tuple[int, int], output: ModelOutput) -> tuple[int, int]:
    usage = output.usage
    return (took[0] + usage.input_tokens, took[1] + usage.output_tokens) if usage else took


def _wait_seconds(attempt: int) -> float:
    longest = min(FIRST_WAIT_SECONDS * 2 ** (attempt - 2), LONGEST_WAIT_SECONDS)
    return longest * random.uniform(0.5, 1.0)
