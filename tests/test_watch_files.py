from rankshift.records import write_records
from rankshift.runs import ArmFiles
from rankshift.watch_files import (
    crossings_path,
    divergence_path,
    looks_path,
    read_crossings,
    read_divergences,
    read_looks,
)
from rankshift.watch_records import CrossingRecord, DivergenceRecord, LookRecord


def test_an_arm_without_the_files_has_no_looks_crossings_or_divergences(tmp_path):
    files = ArmFiles(tmp_path)
    assert (read_looks(files), read_crossings(files), read_divergences(files)) == ([], [], [])


def test_each_kind_of_record_has_a_file_of_its_own(tmp_path):
    files = ArmFiles(tmp_path)
    looks = [LookRecord(0, 1.5), LookRecord(1, 0.2)]
    crossings = [CrossingRecord("skill", 0.5, 1, 0.9, 0.2, 1.5, 0.1)]
    divergences = [DivergenceRecord(1, "far", 0.25, 9, 2)]
    write_records(looks_path(files), looks)
    write_records(crossings_path(files), crossings)
    write_records(divergence_path(files), divergences)
    assert read_looks(files) == looks
    assert read_crossings(files) == crossings
    assert read_divergences(files) == divergences
