import pytest

from rankshift.errors import UserError
from rankshift.records import parse_record, to_line
from rankshift.watch_records import CrossingRecord, DivergenceRecord, LookRecord

RECORDS = [
    DivergenceRecord(4, "organism:general", 0.25, 900, 48),
    LookRecord(4, 0.75, 0.1),
    LookRecord(5, None),
    CrossingRecord("skill", 0.9, 4, 0.92, 0.2, 1.5, 0.1),
    CrossingRecord("kl", 0.1, 4, 0.11, 0.2, 1.5, None),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: to_line(record).strip())
def test_a_record_is_read_as_it_was_written(record):
    assert parse_record(to_line(record), type(record), "a file:1") == record


@pytest.mark.parametrize("edit", [('"skill"', '"luck"'), ("0.92", "null"), ("0.92", '"much"')])
def test_a_crossing_of_another_kind_or_without_a_number_is_refused(edit):
    line = to_line(RECORDS[3]).replace(*edit)
    with pytest.raises(UserError, match=r"^a file:1: (kind|reached) of a CrossingRecord cannot be"):
        parse_record(line, CrossingRecord, "a file:1")
