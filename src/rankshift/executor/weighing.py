"""The updates of a group's arms are measured from the checkpoints that they have kept."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from rankshift.arms import Arm
from rankshift.derivation import list_kept_steps, updates_path
from rankshift.model.loading import load_model, load_skeleton
from rankshift.model.updates import find_update, measure_update
from rankshift.records import write_records
from rankshift.runs import ArmFiles


def record_updates(
    arms: Sequence[Arm],
    files: Sequence[ArmFiles],
    base_directory: Path,
    dtype: str,
    base_norms: Mapping[str, float],
) -> None:
    """Write one UpdateRecord for each kept checkpoint of each arm; the base has no update.

    They are a function of the checkpoints alone, so what a killed process left is written again.

    Args:
        arms: Of one group.
        files: Theirs.
        base_directory: The base's.
        dtype: That the arms were trained over it in.
        base_norms: Of the base's linear layers, by name.
    """
    if not arms[0].has_steps:
        return
    is_whole = arms[0].made_method in ("full", "model")
    base = (
        load_model(base_directory, getattr(torch, dtype))
        if is_whole
        else load_skeleton(base_directory)
    )
    for arm, own in zip(arms, files, strict=True):
        # What is made of an arm has no A that was drawn, or is scaled, which moves none.
        seed = (arm.seed or 0) if arm.method == "lora" and not arm.is_derived else None
        records = [
            measure_update(
                find_update(own.checkpoint(step), base, arm.subset), base_norms, step, seed
            )
            for step in list_kept_steps(own)
        ]
        write_records(updates_path(own), records)
