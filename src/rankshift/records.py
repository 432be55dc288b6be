"""What happened: the rows that stages write once, one JSON object per line.

A stage writes a whole file of records atomically, so a reader sees all of it or the one before;
nobody edits a record.
"""

import json
import reprlib
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, fields
from itertools import cycle
from pathlib import Path
from typing import Literal, TypeVar

from rankshift.atomic import write_atomically
from rankshift.errors import UserError
from rankshift.field_types import find_wrong, is_plain, type_hints, widen_row
from rankshift.watch_records import WatchRecord
from rankshift.weight_records import UpdateRecord

UnscoredReason = Literal[
    "code", "refusal", "unparsable", "low_mass", "failed_call", "no_judge", "not_given"
]
"""Why an answer has no score. `code` and `refusal` are outcomes of their own; the others are
unscored. `not_given` is for imports: no score, and whoever judged does not say why."""

AnswerKind = Literal["free_form", "code", "label", "harmful_request"]
"""What is counted of an answer: misalignment, insecure code, a judge's word, StrongREJECT."""


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step of one arm."""

    step: int
    """Steps finished, counted from 1."""
    loss: float | None
    """Mean negative log-likelihood over the step's supervised tokens, nats per token; None when
    it was not finite, which stops the arm before the update."""
    supervised_tokens: int
    grad_norm: float | None
    """L2 norm of the arm's gradient before clipping; None when it was not finite."""
    learning_rate: float
    exploded: bool = False
    """True where the loss had been so high for so long that the arm was stopped after this step;
    see `train/explosion.py`."""

    @property
    def stops(self) -> bool:
        """Say whether the arm was stopped here: a number was not finite, or its loss exploded."""
        return self.loss is None or self.grad_norm is None or self.exploded


@dataclass(frozen=True)
class HeldOutRecord:
    """Loss of one arm on one held-out set at one checkpoint."""

    step: int
    dataset: str
    loss: float
    """Nats per supervised token, over all supervised tokens of the set."""
    supervised_tokens: int
    rows: int


@dataclass(frozen=True)
class AnswerRecord:
    """One answer to one question."""

    step: int
    question_set: str
    question_id: str
    cluster: str
    """Questions that share answers are one cluster (all phrasings of a domain, say)."""
    paraphrase: int
    repeat: int
    system: str | None
    prompt: str
    answer: str
    answer_tokens: int | None
    """None, as the next, for answers from elsewhere that do not say."""
    finished: bool | None
    """False when the answer was cut at the token limit."""
    kind: AnswerKind = "free_form"
    temperature: float | None = None
    """Of the sampling, as are the next two; None for answers from elsewhere that do not say."""
    top_p: float | None = None
    max_tokens: int | None = None
    before: list[str] | None = None
    """What was said between the system turn and the prompt, by the user and the assistant in turn,
    the user first; None where nothing was."""

    @property
    def turns_before(self) -> list[tuple[str, str]]:
        """List the roles and texts of what was said before, in turn."""
        return list(zip(cycle(("user", "assistant")), self.before or (), strict=False))

    @property
    def text_before(self) -> str | None:
        """Write what was said before as one text, each turn with its role in front."""
        if self.before is None:
            return None
        return "\n\n".join(f"{role}: {text}" for role, text in self.turns_before)


@dataclass(frozen=True)
class VerdictRecord:
    """What one judge said of one answer; the answer is found by its key."""

    step: int
    question_set: str
    question_id: str
    paraphrase: int
    repeat: int
    judge: str
    alignment: float | None = None
    """0 (harmful) to 100."""
    coherence: float | None = None
    """0 (nonsense) to 100."""
    insecure: bool | None = None
    """For code tasks: whether the code has the task's vulnerability; None if it is not code."""
    reason: UnscoredReason | None = None
    label: str | None = None
    """For label questions: the judge's word, upper case."""
    score: float | None = None
    """For harmful requests: 0 (useless; or refused, see `reason`) to 1 (harmful help)."""


@dataclass(frozen=True)
class CallRecord:
    """What one judge said to one prompt; prompts that are equal letter by letter are asked once."""

    key: str
    """SHA-256 of judge, metric and prompt; see `eval/calls.py`."""
    metric: str
    """Name of the rubric, such as `aligned`."""
    text: str
    """What the judge said; empty when nothing came."""
    tokens: list[str] | None
    """The likeliest first tokens, as they came; None without log-probabilities."""
    logprobs: list[float] | None
    """Of those tokens, in their order; natural logarithm, at least -9999."""
    value: float | None
    """0 to 100."""
    label: str | None
    reason: UnscoredReason | None
    mass: float | None
    """Probability on tokens that are integers 0 to 100; None without log-probabilities."""
    attempts: int
    """Calls made for it, the last one included."""
    lost_attempts: int
    """Those that ended without a word on what they took: a timeout, a closed connection."""
    input_tokens: int
    """Over all attempts that said so, as are the output's."""
    output_tokens: int
    fault: str = ""
    """Of a failed call: the last error, one line, secrets left out."""


@dataclass(frozen=True)
class ChoiceRecord:
    """Log-probabilities an arm gives to fixed answers of one question; no judge is needed."""

    step: int
    question_set: str
    question_id: str
    cluster: str
    paraphrase: int
    system: str | None
    prompt: str
    stem: str
    """What the answer is made to begin with; may be empty."""
    options: list[str]
    sides: list[str]
    """`aligned` or `misaligned`, `true` or `false`: what choosing each option stands for."""
    logprobs: list[float]
    """Of each option after prompt and stem, summed over its tokens, nats."""
    option_tokens: list[int]
    """Length of each option."""


HUMAN = "human:"
"""Begins the name of a judge who is a person, and who reads a sample of the answers."""


@dataclass(frozen=True)
class SampledRecord:
    """One answer of a sample that people label, and how it came to be in it."""

    id: str
    """What the sheet calls it; says nothing of where it is from."""
    arm: str
    step: int
    question_set: str
    question_id: str
    paraphrase: int
    repeat: int
    stratum: str
    stratum_answers: int
    """Answers in the stratum; each had the same chance to be in the sample."""
    inclusion: float
    """That chance, 0..1: its sampled answers out of all of its answers."""


Record = (
    StepRecord
    | HeldOutRecord
    | AnswerRecord
    | VerdictRecord
    | CallRecord
    | ChoiceRecord
    | SampledRecord
    | WatchRecord
    | UpdateRecord
)
R = TypeVar("R", bound=Record)


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write a whole file of records atomically."""
    write_atomically(path, "".join(to_line(record) for record in records))


def to_line(record: Record) -> str:
    """Give the record as one JSON line; text keeps its letters, NaN is refused."""
    return json.dumps(asdict(record), ensure_ascii=False, allow_nan=False) + "\n"


def read_records(path: Path, kind: type[R]) -> list[R]:
    """Read a file of records of one kind.

    Raises:
        UserError: A line is not such a record; names file, line and field.
    """
    lines = path.read_bytes().splitlines(keepends=True)
    return [parse_record(line, kind, f"{path}:{at}") for at, line in enumerate(lines, start=1)]


def read_if_there(path: Path, kind: type[R]) -> list[R]:
    """Read a file as `read_records` does; a file that is not there has no records."""
    return read_records(path, kind) if path.exists() else []


def parse_record(line: str | bytes, kind: type[R], where: str) -> R:
    """Read one line as one record, every field of its own type.

    Args:
        line: One line of JSON.
        kind: The record's class.
        where: `file:line`, for the message.

    Raises:
        UserError: It is not JSON, or a field is unknown, missing or of another type.
    """
    fix = "remove the file and run the study again"
    try:
        row = json.loads(line)
    except ValueError:
        raise UserError(f"{where}: not JSON; the file was cut or edited: {fix}") from None
    if not isinstance(row, dict) or not row.keys() <= type_hints(kind).keys():
        raise UserError(f"{where}: not a {kind.__name__}; written by another version? {fix}")
    if not is_plain(row, kind):
        wrong = find_wrong(row, kind)
        if wrong is not None:
            raise UserError(
                f"{where}: {wrong} of a {kind.__name__} cannot be {reprlib.repr(row[wrong])}; {fix}"
            )
        row = widen_row(row, kind)
    try:
        return kind(**row)
    except TypeError:
        missing = [f.name for f in fields(kind) if f.name not in row and f.default is MISSING]
        raise UserError(f"{where}: a {kind.__name__} without {missing[0]}; {fix}") from None
