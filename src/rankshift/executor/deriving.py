"""Derived arms: made of finished finetunes' checkpoints, then measured and asked at their steps."""

import math
from collections.abc import Sequence
from dataclasses import replace

from transformers import PreTrainedModel

from rankshift.arms import Arm
from rankshift.derivation import list_kept_steps
from rankshift.errors import UserError
from rankshift.model.adapter_files import read_adapter
from rankshift.model.derived import write_cut, write_scaled
from rankshift.model.updates import find_update, holds_adapter, measure_elsewhere, measure_norm
from rankshift.records import HeldOutRecord, write_records
from rankshift.runs import ArmFiles
from rankshift.train.measuring import measure_held_out, read_base, record_divergences
from rankshift.train.roster import Group
from rankshift.train.trainee import Trainee, prepare_base, prepare_given, read_weights
from rankshift.watch_files import divergence_path
from rankshift.watch_records import DivergenceRecord


def derive_arm(
    arm: Arm, source: ArmFiles, files: ArmFiles, base: PreTrainedModel, base_name: str
) -> dict[str, object]:
    """Make a derived arm's checkpoint of each that its source has kept; done again, the same bits.

    Args:
        arm: Derived.
        source: Of the finetune that it is made of.
        files: Its own.
        base: Before anything is put into it.
        base_name: What adapters are written for.

    Returns:
        What its provenance says: the source, what was done, and for each step the factor, or of
        a whole model's cut update the share of its squared norm that an adapter cannot hold.
    """
    facts: dict[str, object] = {
        "source": source.directory.name,
        "truncated_to": arm.truncated_to,
        "norm_to": arm.norm_to,
    }
    left_out, factors = {}, {}
    for step in list_kept_steps(source):
        update = find_update(source.checkpoint(step), base, arm.subset)
        if arm.norm_to is not None:
            factors[str(step)] = write_scaled(update, arm.norm_to, files.checkpoint(step))
            continue
        assert arm.truncated_to is not None
        write_cut(update, arm.truncated_to, files.checkpoint(step), base_name)
        if update.scales is None:
            left_out[str(step)] = measure_elsewhere(update, measure_norm(update))
    facts |= {"factors": factors} if factors else {}
    facts |= {"left_out": left_out} if left_out else {}
    return {"derived": facts}


def prepare_derived(model: PreTrainedModel, files: Sequence[ArmFiles]) -> Trainee:
    """Put derived adapters over their base, one an arm, or take up a derived whole model.

    Each checkpoint is read when its turn comes.
    """
    first = [own.checkpoint(list_kept_steps(own)[0]) for own in files]
    if holds_adapter(first[0]):
        trainee = prepare_given(model, first)
        return replace(trainee, read=lambda folder, i: read_adapter(folder, trainee.layers, i))
    return replace(prepare_base(model), read=lambda folder, _: read_weights(folder, model))


def measure_derived(group: Group, trainee: Trainee) -> None:
    """Measure derived arms like trained ones, at each step they have a checkpoint of.

    Raises:
        UserError: A loss is not finite.
    """
    kept = [list_kept_steps(files) for files in group.files]
    losses: list[list[HeldOutRecord]] = [[] for _ in group.arms]
    far: list[list[DivergenceRecord]] = [[] for _ in group.arms]
    base = read_base(group, trainee, is_replaced=True)
    for step in sorted({step for steps in kept for step in steps}):
        present = [index for index, steps in enumerate(kept) if step in steps]
        for index in present:
            trainee.read(group.files[index].checkpoint(step), index)
        found = measure_held_out(group, trainee, step, present)
        for index in present:
            losses[index] += _refuse_infinite(group.arms[index], found[index])
        if group.unrelated:
            for index, record in record_divergences(group, trainee, base, step, present).items():
                far[index].append(record)
    for index, files in enumerate(group.files if trainee.team.is_first else ()):
        if group.unrelated:
            write_records(divergence_path(files), far[index])
        write_records(files.held_out_path, losses[index])


def _refuse_infinite(arm: Arm, records: list[HeldOutRecord]) -> list[HeldOutRecord]:
    for record in records:
        if not math.isfinite(record.loss):
            raise UserError(
                f"{arm.label}: its loss on {record.dataset} is not finite at step {record.step}; "
                "leave this norm or rank out of [derived]"
            )
    return records
