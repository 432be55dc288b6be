"""Which calls a judge is to be made for some answers, and what their records say of each answer."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rankshift.eval.rubrics import Rubric
from rankshift.eval.scoring import Reading
from rankshift.eval.verdicts import make_verdict
from rankshift.records import AnswerRecord, CallRecord, VerdictRecord

FindRubrics = Callable[[AnswerRecord], tuple[Rubric, ...]]
"""Gives what a judge is asked about an answer; nothing where no judge can be asked."""


@dataclass(frozen=True)
class Call:
    """One prompt to one judge; it may serve many answers that are alike."""

    key: str
    """SHA-256 of judge, rubric and prompt."""
    rubric: Rubric
    prompt: str


def make_call(judge: str, rubric: Rubric, answer: AnswerRecord) -> Call:
    """Make the call that asks a judge one thing about an answer."""
    prompt = rubric.ask(answer.prompt, answer.answer)
    named = "\0".join((judge, rubric.metric, rubric.reads, *rubric.labels, prompt))
    return Call(hashlib.sha256(named.encode(errors="surrogatepass")).hexdigest(), rubric, prompt)


def plan_calls(
    judge: str, answers: Iterable[AnswerRecord], find_rubrics: FindRubrics
) -> dict[str, Call]:
    """List the distinct calls for some answers, by key, in the order of the answers."""
    calls: dict[str, Call] = {}
    for answer in answers:
        for rubric in find_rubrics(answer):
            call = make_call(judge, rubric, answer)
            calls.setdefault(call.key, call)
    return calls


def derive_verdicts(
    judge: str,
    answers: Sequence[AnswerRecord],
    find_rubrics: FindRubrics,
    records: Mapping[str, CallRecord],
) -> list[VerdictRecord]:
    """Give one verdict an answer, in the order of the answers.

    Raises:
        KeyError: A call has no record yet.
    """
    verdicts = []
    for answer in answers:
        keys = {r.metric: make_call(judge, r, answer).key for r in find_rubrics(answer)}
        readings = {metric: read_record(records[key]) for metric, key in keys.items()}
        verdicts.append(make_verdict(answer, judge, readings))
    return verdicts


def read_record(record: CallRecord) -> Reading:
    """Give what was read of a call when it was made."""
    return Reading(record.value, record.label, record.reason, record.mass)


def fail_call(call: Call, attempts: int, fault: str) -> CallRecord:
    """Record a call that brought nothing after its last attempt."""
    return CallRecord(
        key=call.key,
        metric=call.rubric.metric,
        text="",
        tokens=None,
        logprobs=None,
        value=None,
        label=None,
        reason="failed_call",
        mass=None,
        attempts=attempts,
        lost_attempts=0,
        input_tokens=0,
        output_tokens=0,
        fault=fault,
    )


def record_reading(call: Call, reading: Reading, attempts: int) -> CallRecord:
    """Record a call that brought something; the caller adds what came."""
    return replace(
        fail_call(call, attempts, ""),
        value=reading.value,
        label=reading.label,
        reason=reading.reason,
        mass=reading.mass,
    )
