"""A line that was edited is refused by the name of its field, and nothing is guessed."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

import pytest

from rankshift.errors import UserError
from rankshift.parsing import parse_record
from rankshift.records import StepRecord, VerdictRecord, to_line

STEPS = [StepRecord(1, 1.5, 7, 0.25, 1e-3)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": "1"}, "step of a StepRecord cannot be '1'"),
        ({"step": 1.0}, "step of a StepRecord cannot be 1.0"),
        ({"step": True}, "step of a StepRecord cannot be True"),
        ({"loss": 10**400}, "loss of a StepRecord cannot be 1000"),
        ({"loss": "low"}, "loss of a StepRecord cannot be 'low'"),
        ({"learning_rate": None}, "learning_rate of a StepRecord cannot be None"),
        ({"lr": 1.0}, "not a StepRecord; written by another version?"),
    ],
)
def test_a_field_of_another_type_is_refused_by_name(change, message):
    line = json.dumps(asdict(STEPS[0]) | change)
    with pytest.raises(UserError, match=r"^f:1: ") as refused:
        parse_record(line, StepRecord, "f:1")
    assert message in str(refused.value)


def test_a_missing_field_and_a_row_that_is_no_object_are_refused():
    with pytest.raises(UserError, match="f:1: a StepRecord without loss; remove the file"):
        parse_record('{"step": 1}', StepRecord, "f:1")
    with pytest.raises(UserError, match="f:1: not a StepRecord"):
        parse_record("[1]", StepRecord, "f:1")


def test_what_may_be_absent_or_a_whole_number_is_taken():
    row = asdict(STEPS[0]) | {"loss": None, "grad_norm": 2, "learning_rate": 0}
    record = parse_record(json.dumps(row), StepRecord, "f:1")
    assert (record.loss, record.grad_norm, record.learning_rate) == (None, 2.0, 0.0)
    assert type(record.grad_norm) is type(record.learning_rate) is float
    verdict = VerdictRecord(1, "s", "q", 0, 0, "judge", insecure=True, reason="code")
    assert parse_record(to_line(verdict), VerdictRecord, "f:1") == verdict
    with pytest.raises(UserError, match="reason of a VerdictRecord cannot be 'tired'"):
        parse_record(to_line(verdict).replace('"code"', '"tired"'), VerdictRecord, "f:1")


@dataclass(frozen=True)
class Mixed:
    kind: Literal["a", "b"]
    numbers: list[float] | None = None


def test_lists_are_looked_into_and_their_whole_numbers_widened():
    record = parse_record('{"kind": "a", "numbers": [1, 2.5]}', Mixed, "f:1")
    assert record == Mixed("a", [1.0, 2.5])
    assert record.numbers is not None
    assert type(record.numbers[0]) is float
    for line in ('{"kind": "c"}', '{"kind": "a", "numbers": ["1"]}', '{"kind": null}'):
        with pytest.raises(UserError, match="of a Mixed cannot be"):
            parse_record(line, Mixed, "f:1")
