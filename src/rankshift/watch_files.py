"""Where an arm's looks, crossings and divergences are, beside its other files."""

from pathlib import Path

from rankshift.records import read_if_there
from rankshift.runs import ArmFiles
from rankshift.watch_records import CrossingRecord, DivergenceRecord, LookRecord


def divergence_path(files: ArmFiles) -> Path:
    """DivergenceRecords, one a checkpoint; in studies with unrelated conversations only."""
    return files.directory / "divergence.jsonl"


def looks_path(files: ArmFiles) -> Path:
    """LookRecords; as crossings, of trained arms in studies with crossings only."""
    return files.directory / "looks.jsonl"


def crossings_path(files: ArmFiles) -> Path:
    """CrossingRecords, of those crossings that came; the others are censored."""
    return files.directory / "crossings.jsonl"


def read_divergences(files: ArmFiles) -> list[DivergenceRecord]:
    """Read an arm's divergences; none where there is no file."""
    return read_if_there(divergence_path(files), DivergenceRecord)


def read_looks(files: ArmFiles) -> list[LookRecord]:
    """Read the looks at an arm; none where there is no file."""
    return read_if_there(looks_path(files), LookRecord)


def read_crossings(files: ArmFiles) -> list[CrossingRecord]:
    """Read an arm's crossings; none where there is no file."""
    return read_if_there(crossings_path(files), CrossingRecord)
