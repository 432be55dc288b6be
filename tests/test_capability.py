import json
from pathlib import Path

import pytest

from rankshift.capability import (
    capability_path,
    read_all_capability,
    read_capability,
    write_capability,
)
from rankshift.errors import UserError
from rankshift.runs import ArmFiles
from tests.capability_records import make_record


def test_records_come_back_as_they_were_written(tmp_path: Path):
    files = ArmFiles(tmp_path)
    records = [
        make_record(),
        make_record(limit=10, samples=10),
        make_record(task="words", value=None, stderr=None, higher_is_better=None, samples=None),
    ]
    for record in records:
        write_capability(files, record)
    read = read_all_capability(files)
    assert sorted(map(repr, read)) == sorted(map(repr, records))


def test_a_record_that_was_edited_is_refused_by_name(tmp_path: Path):
    files = ArmFiles(tmp_path)
    write_capability(files, make_record())
    path = capability_path(files, "colours", None, 4)
    content = json.loads(path.read_text())
    content["capability"]["scores"][0]["value"] = 0.99
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"colours-step-000004\.json: was edited .* measure again"):
        read_capability(path)


def test_a_task_a_limit_and_a_step_each_have_a_file_of_their_own(tmp_path: Path):
    files = ArmFiles(tmp_path)
    asked = [("a", None, 4), ("a", 10, 4), ("a@10", None, 4), ("a", None, 8), ("a:b", None, 4)]
    paths = {capability_path(files, *one) for one in asked}
    assert len(paths) == len(asked)
    assert {path.parent for path in paths} == {tmp_path / "capability"}


def test_what_a_failed_measurement_leaves_is_no_record(tmp_path: Path):
    files = ArmFiles(tmp_path)
    write_capability(files, make_record())
    (tmp_path / "capability" / "words-step-000004.log").write_text("Traceback")
    (tmp_path / "capability" / ".words-step-000004.json.1.tmp.json").write_text("{")
    assert [record.asked for record in read_all_capability(files)] == ["colours"]
