"""Train a group: its arms in lock step, measured at every checkpoint and resumable from it."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from rankshift.arms import Arm
from rankshift.cache import cache_directory
from rankshift.data.batches import draw_rows, lay_rows
from rankshift.data.rendering import Rendered
from rankshift.model.forms import settle_forms
from rankshift.model.tensor_files import read_tensors, write_tensors
from rankshift.records import HeldOutRecord, StepRecord, read_records, write_records
from rankshift.runs import ArmFiles
from rankshift.study import Training
from rankshift.train.choice import make_optimizer
from rankshift.train.optimizer import ArmwiseOptimizer
from rankshift.train.schedule import scheduled_share
from rankshift.train.step import (
    Batch,
    StepResult,
    divide_passes,
    reading,
    sum_losses,
    training_step,
)
from rankshift.train.trainee import Trainee

STATE = "state.safetensors"
FORMS = "forms.json"


@dataclass(frozen=True)
class HeldOut:
    """One held-out set, the same rows for every arm."""

    name: str
    rows: Sequence[Rendered]


@dataclass
class Group:
    """The arms that one process trains over one base, with all they learn from."""

    arms: list[Arm]
    files: list[ArmFiles]
    """Where each arm's records and checkpoints go."""
    train_rows: list[Sequence[Rendered]]
    """The rows each arm draws from."""
    held_out: list[HeldOut]
    training: Training
    state_folder: Path
    pad_token: int
    micro_rows: int
    """Held-out rows of one arm in one forward pass."""
    arms_per_pass: int = 1
    """How many arms go through the model together."""
    steps: list[list[StepRecord]] = field(default_factory=list)
    losses: list[list[HeldOutRecord]] = field(default_factory=list)


def train_group(group: Group, trainee: Trainee, advance: Callable[[int], None]) -> None:
    """Train every arm of a group from its last checkpoint to its last step.

    A base's own dropout stays off: it would draw from a stream that all arms share.

    Args:
        group: The arms and their data.
        trainee: Their trainable tensors over the base.
        advance: Called with the number of steps just finished (more than one after a resume).
    """
    order = [
        draw_rows(len(rows), group.training.rows_per_step, group.training.steps, arm.seed or 0)
        for arm, rows in zip(group.arms, group.train_rows, strict=True)
    ]
    settle_forms(
        trainee.layers,
        count_pass_tokens(group, order, trainee.traits.packs),
        group.state_folder / FORMS,
        cache_directory() / "forms",
    )
    optimizer = make_optimizer(group.arms, group.training, trainee.tensors)
    done, active = resume(group, optimizer)
    trainee.update_model()
    advance(done)
    for step in range(done, group.training.steps):
        rates = learning_rates(group, step)
        chosen = [arm_order[step] for arm_order in order]
        window = assemble_window(group, chosen, trainee.traits.packs)
        trainee.model.eval()
        result = training_step(trainee, window, optimizer, rates, active, group.training.clip_norm)
        trainee.update_model()
        record_steps(group, step + 1, result, rates, active)
        active &= result.finite
        if step + 1 in group.training.checkpoints:
            commit_checkpoint(group, trainee, optimizer, active, step + 1)
        advance(1)


def read_forms(state_folder: Path, index: int) -> dict[str, object] | None:
    """Read what was chosen before an arm's first step, its own form by layer; None without any."""
    path = state_folder / FORMS
    if not path.is_file():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    return content | {"layers": {name: forms[index] for name, forms in content["layers"].items()}}


def count_pass_tokens(group: Group, order: list[np.ndarray], packed: bool) -> int:
    """Give the usual number of tokens of one arm in one forward pass, padding included."""
    per_batch = group.training.rows_per_step // group.training.accumulation
    lengths = np.array([len(row.token_ids) for row in group.train_rows[0]])
    batches = lengths[order[0]].reshape(-1, per_batch)
    tokens = batches.sum(axis=1) if packed else per_batch * batches.max(axis=1)
    return int(np.median(tokens))


def measure_untrained(group: Group, trainee: Trainee) -> None:
    """Measure arms that are not trained on every held-out set: their step 0."""
    for files, records in zip(group.files, measure_held_out(group, trainee, 0), strict=True):
        write_records(files.held_out_path, records)


def learning_rates(group: Group, step: int) -> torch.Tensor:
    """Give each arm's learning rate of a step, `[arm]`."""
    t = group.training
    share = scheduled_share(step, t.steps, t.warmup_steps, t.schedule)
    rates = [(arm.learning_rate or 0.0) * share for arm in group.arms]
    return torch.tensor(rates, dtype=torch.float64)


def assemble_window(group: Group, chosen: list[np.ndarray], packed: bool) -> list[Batch]:
    """Make the batches of one step from each arm's row numbers."""
    per_batch = group.training.rows_per_step // group.training.accumulation
    rows = [
        [own[number] for number in numbers]
        for own, numbers in zip(group.train_rows, chosen, strict=True)
    ]
    if not packed:
        # A step's sum does not depend on how its rows are divided; alike in length they waste less.
        rows = [sorted(own, key=lambda row: len(row.token_ids)) for own in rows]
    window = []
    for start in range(0, group.training.rows_per_step, per_batch):
        part = slice(start, start + per_batch)
        for arms in divide_passes(len(group.arms), group.arms_per_pass):
            by_arm = [rows[arm][part] for arm in arms]
            window.append(Batch(arms, lay_rows(by_arm, group.pad_token, packed)))
    return window


def record_steps(
    group: Group, step: int, result: StepResult, rates: torch.Tensor, active: torch.Tensor
) -> None:
    """Note what a step did to each arm that was still active; a stopped arm has no more rows."""
    for index in range(len(group.arms)):
        if active[index]:
            finite = bool(result.finite[index])
            group.steps[index].append(
                StepRecord(
                    step=step,
                    loss=result.losses[index].item() if finite else None,
                    supervised_tokens=int(result.supervised_tokens[index]),
                    grad_norm=result.grad_norms[index].item() if finite else None,
                    learning_rate=rates[index].item(),
                )
            )


@torch.no_grad()
def measure_held_out(group: Group, trainee: Trainee, step: int) -> list[list[HeldOutRecord]]:
    """Measure every arm on every held-out set, a list for each arm."""
    trainee.model.eval()
    num_arms = len(group.arms)
    found: list[list[HeldOutRecord]] = [[] for _ in group.arms]
    with reading(trainee):
        for held_out in group.held_out:
            sums, tokens = torch.zeros(num_arms, dtype=torch.float64), 0
            for start in range(0, len(held_out.rows), group.micro_rows):
                rows = held_out.rows[start : start + group.micro_rows]
                for arms in divide_passes(num_arms, group.arms_per_pass):
                    trainee.select(arms)
                    batch = lay_rows([rows] * len(arms), group.pad_token, trainee.traits.packs)
                    sums[arms.start : arms.stop] += sum_losses(trainee, batch).cpu()
                tokens += sum(sum(row.loss_mask) for row in rows)
            for index in range(num_arms):
                loss = sums[index].item() / tokens
                found[index].append(
                    HeldOutRecord(step, held_out.name, loss, tokens, len(held_out.rows))
                )
    return found


def commit_checkpoint(
    group: Group, trainee: Trainee, optimizer: ArmwiseOptimizer, active: torch.Tensor, step: int
) -> None:
    """Write weights and records of every arm, then the state to resume from.

    An arm whose held-out loss is not finite is stopped here like one whose training loss is not.
    The state comes last: killed before it, the group redoes the same steps and writes the same
    files.
    """
    for index, records in enumerate(measure_held_out(group, trainee, step)):
        files = group.files[index]
        if active[index] and not all(math.isfinite(record.loss) for record in records):
            active[index] = False
            group.steps[index][-1] = replace(group.steps[index][-1], loss=None)
        if active[index]:
            group.losses[index] += records
            trainee.write(files.checkpoint(step), index)
        write_records(files.steps_path, group.steps[index])
        write_records(files.held_out_path, group.losses[index])
    state = optimizer.state() | {"active": active, "step": torch.tensor(step)}
    write_tensors(group.state_folder / STATE, state)


def resume(group: Group, optimizer: ArmwiseOptimizer) -> tuple[int, torch.Tensor]:
    """Take up the last committed checkpoint, if there is one.

    Where a record of an arm was removed since, the group starts again: its state alone cannot say
    what happened.

    Returns:
        Steps already done, and which arms are still active, `[arm]`.
    """
    path = group.state_folder / STATE
    group.steps = [[] for _ in group.arms]
    group.losses = [[] for _ in group.arms]
    state = read_tensors(path) if path.is_file() else None
    if state is None or not take_up_records(group, int(state["step"])):
        return 0, torch.ones(len(group.arms), dtype=torch.bool)
    optimizer.restore(state)
    return int(state["step"]), state["active"]


def take_up_records(group: Group, done: int) -> bool:
    """Read every arm's records up to a checkpoint; say whether all are there, take none if not."""
    steps, losses = [], []
    for files in group.files:
        if not (files.steps_path.exists() and files.held_out_path.exists()):
            return False
        step_records = read_records(files.steps_path, StepRecord)
        loss_records = read_records(files.held_out_path, HeldOutRecord)
        steps.append([record for record in step_records if record.step <= done])
        losses.append([record for record in loss_records if record.step <= done])
        if not is_complete(group, steps[-1], losses[-1], done):
            return False
    group.steps, group.losses = steps, losses
    return True


def is_complete(
    group: Group, steps: list[StepRecord], losses: list[HeldOutRecord], done: int
) -> bool:
    """Say whether an arm's records reach a checkpoint, or the step that stopped the arm."""
    stop = steps[-1].step if steps and steps[-1].loss is None else None
    measured = [c for c in group.training.checkpoints if c <= done and (stop is None or c < stop)]
    return [record.step for record in steps] == list(range(1, (stop or done) + 1)) and len(
        losses
    ) == len(measured) * len(group.held_out)
