"""Derived arms on disk: which finetune each is made of, and which checkpoints that one has kept."""

from pathlib import Path

from rankshift.arms import Arm
from rankshift.records import read_if_there
from rankshift.runs import ArmFiles, Fingerprints, arm_id, make_recipe
from rankshift.study import Study
from rankshift.weight_records import UpdateRecord

CONFIGS = ("adapter_config.json", "config.json")
"""One of them is written last, so that a checkpoint with it is whole."""


def find_source_id(arm: Arm, study: Study, fingerprints: Fingerprints) -> str | None:
    """Give the id of the finetune that a derived arm is made of; None for any other arm."""
    if not arm.is_derived:
        return None
    return arm_id(arm.source, make_recipe(arm.source, study, fingerprints))


def list_kept_steps(files: ArmFiles) -> tuple[int, ...]:
    """List the steps whose weights are kept whole, in order."""
    folders = files.checkpoint(0).parent.glob("step-*")
    return tuple(
        sorted(
            int(folder.name.removeprefix("step-"))
            for folder in folders
            if any((folder / config).is_file() for config in CONFIGS)
        )
    )


def updates_path(files: ArmFiles) -> Path:
    """Place the UpdateRecords of an arm, one a checkpoint."""
    return files.directory / "updates.jsonl"


def read_updates(files: ArmFiles) -> dict[int, UpdateRecord]:
    """Read them by step; an arm from before there were any has none.

    Raises:
        UserError: The file was cut or edited.
    """
    return {record.step: record for record in read_if_there(updates_path(files), UpdateRecord)}
