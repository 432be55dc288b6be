import pytest

from rankshift.errors import UserError
from rankshift.records import read_records, write_records
from rankshift.weight_records import UpdateRecord

RECORDS = [
    UpdateRecord(2, 1.5, 0.1, 0.02, 1.25, 3.5, 0.0),
    UpdateRecord(4, 0.0, 0.0, None, None, None, 0.25),
]


def test_updates_are_read_as_they_were_written_and_a_row_without_a_number_is_refused(tmp_path):
    path = tmp_path / "updates.jsonl"
    write_records(path, RECORDS)
    assert read_records(path, UpdateRecord) == RECORDS
    path.write_text(path.read_text().replace('"norm": 1.5, ', ""))
    with pytest.raises(UserError, match=r"updates\.jsonl:1: a UpdateRecord without norm"):
        read_records(path, UpdateRecord)
