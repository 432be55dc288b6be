"""Keep what a group has learned, so that it can be killed at any moment and go on from there."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from rankshift.atomic import explain_refusal
from rankshift.errors import UserError
from rankshift.model.divergence import Predictions
from rankshift.model.tensor_files import read_tensors, write_tensors
from rankshift.records import HeldOutRecord, StepRecord, read_records, write_records
from rankshift.runs import ArmFiles
from rankshift.train.measuring import measure_held_out, record_divergences
from rankshift.train.optimizer import ArmwiseOptimizer
from rankshift.train.roster import Group
from rankshift.train.trainee import Trainee
from rankshift.train.watching import is_watched, list_look_steps, replay
from rankshift.watch_files import (
    crossings_path,
    divergence_path,
    looks_path,
    read_crossings,
    read_divergences,
    read_looks,
)
from rankshift.watch_records import CrossingRecord, DivergenceRecord, LookRecord

STATE = "state.safetensors"
STATE_BEFORE = "state-before.safetensors"
"""The last state and the one before it: the rule by which states are rotated."""


def keep_arms(
    group: Group,
    trainee: Trainee,
    base: list[Predictions],
    active: torch.Tensor,
    step: int,
    arms: Collection[int],
) -> None:
    """Measure some arms and write their weights; the records wait for the next commit.

    An arm whose held-out loss is not finite is stopped here like one whose training loss is not.

    Args:
        group: Gets the records.
        trainee: As the arms are after the step.
        base: The base's predictions of the unrelated rows, where there are such.
        active: `[arm]`, changed for an arm that is stopped.
        step: Steps done.
        arms: Active ones, by their places in the group.
    """
    losses = measure_held_out(group, trainee, step, arms)
    far = record_divergences(group, trainee, base, step, arms) if group.unrelated else {}
    for index in arms:
        numbers = [record.loss for record in losses[index]]
        numbers += [far[index].kl] if far else []
        if all(map(math.isfinite, numbers)):
            group.losses[index] += losses[index]
            group.divergences[index] += [far[index]] if far else []
            if trainee.team.is_first:
                trainee.write(group.files[index].checkpoint(step), index)
            continue
        active[index] = False
        group.steps[index][-1] = replace(group.steps[index][-1], loss=None)
        # A look at this step was at weights that the records now say were not reached.
        group.looks[index] = [seen for seen in group.looks[index] if seen.step < step]


def commit(group: Group, optimizer: ArmwiseOptimizer, active: torch.Tensor, step: int) -> None:
    """Write the records of every arm, then the state to resume from.

    The state comes last: killed before it, the group redoes the same steps and writes the same
    files. What was kept since the last commit has no records until this one. Two states are kept,
    this one and the one before: a disk may lose what it said it had written.
    """
    for index, files in enumerate(group.files):
        write_records(files.steps_path, group.steps[index])
        write_records(files.held_out_path, group.losses[index])
        if group.unrelated:
            write_records(divergence_path(files), group.divergences[index])
        if is_watched(group.training):
            write_records(looks_path(files), group.looks[index])
            write_records(crossings_path(files), group.crossings[index])
    state = optimizer.state() | {"active": active, "step": torch.tensor(step)}
    newest, before = group.state_folder / STATE, group.state_folder / STATE_BEFORE
    if newest.is_file():
        with explain_refusal(newest):
            newest.replace(before)
    write_tensors(newest, state)


def resume(group: Group, optimizer: ArmwiseOptimizer) -> tuple[int, torch.Tensor]:
    """Take up the last committed state, if there is one; the one before where that was cut.

    Where a record of an arm was removed since, the group starts again: its state alone cannot say
    what happened.

    Returns:
        Steps already done, and which arms are still active, `[arm]`.

    Raises:
        UserError: No state that is there is whole.
    """
    group.forget()
    state = _read_state(group.state_folder)
    if state is None or not take_up_records(group, int(state["step"])):
        return 0, torch.ones(len(group.arms), dtype=torch.bool)
    optimizer.restore(state)
    return int(state["step"]), state["active"]


def _read_state(folder: Path) -> dict[str, torch.Tensor] | None:
    newest, before = folder / STATE, folder / STATE_BEFORE
    if not newest.is_file():  # killed between the two renames, or nothing was committed
        return read_tensors(before) if before.is_file() else None
    try:
        return read_tensors(newest)
    except UserError:
        if not before.is_file():
            raise
        return read_tensors(before)


@dataclass(frozen=True)
class Noted:
    """What is on disk of one arm, up to a checkpoint."""

    steps: list[StepRecord]
    losses: list[HeldOutRecord]
    looks: list[LookRecord]
    crossings: list[CrossingRecord]
    divergences: list[DivergenceRecord]


def take_up_records(group: Group, done: int) -> bool:
    """Read every arm's records up to a checkpoint; say whether all are there, take none if not."""
    every = []
    for files in group.files:
        if not (files.steps_path.exists() and files.held_out_path.exists()):
            return False
        every.append(_read(files, done))
        if not is_complete(group, every[-1], done):
            return False
    for index, noted in enumerate(every):
        group.steps[index], group.losses[index] = noted.steps, noted.losses
        group.looks[index], group.crossings[index] = noted.looks, noted.crossings
        group.divergences[index] = noted.divergences
    return True


def _read(files: ArmFiles, done: int) -> Noted:
    return Noted(
        [r for r in read_records(files.steps_path, StepRecord) if r.step <= done],
        [r for r in read_records(files.held_out_path, HeldOutRecord) if r.step <= done],
        [r for r in read_looks(files) if r.step <= done],
        [r for r in read_crossings(files) if r.step <= done],
        [r for r in read_divergences(files) if r.step <= done],
    )


def is_complete(group: Group, noted: Noted, done: int) -> bool:
    """Say whether an arm's records reach a checkpoint, or the step that stopped the arm.

    Crossings must be those that follow from the looks.
    """
    steps, training = noted.steps, group.training
    stop = steps[-1].step if steps and steps[-1].stops else None
    last = done if stop is None else stop - 1
    crossed = {crossing.step for crossing in noted.crossings}
    kept = sorted(crossed.union(step for step in training.checkpoints if step <= last))
    return (
        [record.step for record in steps] == list(range(1, (stop or done) + 1))
        and noted.crossings == replay(training, group.floor, noted.looks)
        and _steps_of(noted.looks) == list_look_steps(training, noted.crossings, last)
        and _steps_of(noted.losses) == [step for step in kept for _ in group.held_out]
        and _steps_of(noted.divergences) == (kept if group.unrelated else [])
    )


def _steps_of(
    records: Sequence[HeldOutRecord] | Sequence[LookRecord] | Sequence[DivergenceRecord],
) -> list[int]:
    return [record.step for record in records]
