"""Train a group: its arms in lock step, measured at every checkpoint and resumable from it."""

import json
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import numpy as np
import torch

from rankshift.cache import cache_directory
from rankshift.data.batches import draw_rows, lay_rows
from rankshift.data.rendering import Rendered
from rankshift.model.forms import note_loops, settle_forms
from rankshift.model.team import ALONE, Team
from rankshift.records import StepRecord, write_records
from rankshift.train.checkpoints import commit, keep_arms, resume
from rankshift.train.choice import make_optimizer
from rankshift.train.defences.guards import Guards
from rankshift.train.defences.kinds import make_guards
from rankshift.train.explosion import stop_exploded, uniform_loss
from rankshift.train.measuring import measure_held_out, read_base, record_divergences
from rankshift.train.roster import Group
from rankshift.train.schedule import scheduled_share
from rankshift.train.step import Batch, Moves, StepResult, divide_passes, training_step
from rankshift.train.trainee import Trainee
from rankshift.train.watching import look, look_at_start
from rankshift.watch_files import divergence_path

FORMS = "forms.json"


def train_group(group: Group, trainee: Trainee, advance: Callable[[int], None]) -> list[float]:
    """Train every arm of a group from its last state to its last step.

    A base's own dropout stays off: it would draw from a stream that all arms share.

    Args:
        group: The arms and their data.
        trainee: Their trainable tensors over the base.
        advance: Called with the number of steps just finished (more than one after a resume).

    Returns:
        Seconds that each arm's defence took besides, since it was taken up.
    """
    guards = make_guards(group.arms, group.means, group.training, group.pad_token)
    order = [
        draw_rows(len(rows), group.training.rows_per_step, group.training.steps, arm.seed or 0)
        for arm, rows in zip(group.arms, group.train_rows, strict=True)
    ]
    choose_forms(group, trainee, count_pass_tokens(group, order, trainee.traits.packs))
    optimizer = make_optimizer(group.arms, group.training, trainee.tensors)
    base = read_base(group, trainee)
    uniform = uniform_loss(trainee.model)
    done, active = resume(group, optimizer)
    kept_at = monotonic()
    trainee.update_model()
    if done == 0:
        look_at_start(group, trainee, base)
    advance(done)
    for step in range(done, group.training.steps):
        moves = Moves(learning_rates(group, guards, step), active, group.training.clip_norm, step)
        rows = choose_rows(group, guards, step, [arm_order[step] for arm_order in order])
        window = assemble_window(group, rows, trainee.traits.packs, trainee.team)
        trainee.model.eval()
        result = training_step(trainee, window, optimizer, moves, guards)
        trainee.update_model()
        record_steps(group, step + 1, result, moves)
        active &= result.finite
        stop_exploded(group, uniform, active)
        crossed = look(group, trainee, base, step + 1, active)
        is_checkpoint = step + 1 in group.training.checkpoints
        kept = torch.nonzero(active).flatten().tolist() if is_checkpoint else list(crossed)
        if kept:
            keep_arms(group, trainee, base, active, step + 1, kept)
        for index, crossings in crossed.items():
            group.crossings[index] += crossings if active[index] else []
        if is_checkpoint or monotonic() - kept_at >= group.state_seconds:
            if trainee.team.is_first:
                commit(group, optimizer, active, step + 1)
            kept_at = monotonic()
        advance(1)
    return guards.seconds


def choose_forms(group: Group, trainee: Trainee, tokens: int) -> None:
    """Give every layer the forms of its products, and write them beside the group's state.

    In a team every arm is computed in a loop: the dense form would keep a whole weight of every
    layer for the backward pass, and what one process times is not what another does.
    """
    path = group.state_folder / FORMS
    if trainee.team.size == 1:
        settle_forms(trainee.layers, tokens, path, cache_directory() / "forms")
    elif trainee.team.is_first:
        note_loops(trainee.layers, tokens, path)


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
    """Measure arms that are not trained on every held-out set, and unrelated rows: their step 0."""
    every = range(len(group.arms))
    if group.unrelated:
        far = record_divergences(group, trainee, read_base(group, trainee), 0, every)
        for index, files in enumerate(group.files if trainee.team.is_first else ()):
            write_records(divergence_path(files), [far[index]])
    losses = measure_held_out(group, trainee, 0, every)
    for index, files in enumerate(group.files if trainee.team.is_first else ()):
        write_records(files.held_out_path, losses[index])


def learning_rates(group: Group, guards: Guards, step: int) -> torch.Tensor:
    """Give each arm's learning rate of a step, `[arm]`: zero for one whose training has ended."""
    t = group.training
    share = scheduled_share(step, t.steps, t.warmup_steps, t.schedule)
    rates = [
        0.0 if guard.has_ended(steps) else (arm.learning_rate or 0.0) * share
        for arm, guard, steps in zip(group.arms, guards.each, group.steps, strict=True)
    ]
    return torch.tensor(rates, dtype=torch.float64)


def choose_rows(
    group: Group, guards: Guards, step: int, chosen: list[np.ndarray]
) -> list[list[Rendered]]:
    """Give the rows of a step, arm by arm, from their numbers: its own, or what defends it."""
    return [
        guard.choose_rows(step, numbers, [own[number] for number in numbers])
        for own, guard, numbers in zip(group.train_rows, guards.each, chosen, strict=True)
    ]


def assemble_window(
    group: Group, rows: list[list[Rendered]], packed: bool, team: Team = ALONE
) -> list[Batch]:
    """Make the batches of one step from each arm's rows: what this process reads of them."""
    per_batch = group.training.rows_per_step // group.training.accumulation
    if not packed:
        # A step's sum does not depend on how its rows are divided; alike in length they waste less.
        rows = [sorted(own, key=lambda row: len(row.token_ids)) for own in rows]
    window = []
    for start in range(0, group.training.rows_per_step, per_batch):
        part = slice(start, start + per_batch)
        for arms in divide_passes(len(group.arms), group.arms_per_pass):
            by_arm = [team.share(rows[arm][part]) for arm in arms]
            window.append(Batch(arms, lay_rows(by_arm, group.pad_token, packed)))
    return window


def record_steps(group: Group, step: int, result: StepResult, moves: Moves) -> None:
    """Note what a step did to each arm that was still active; a stopped arm has no more rows."""
    for index in range(len(group.arms)):
        if moves.active[index]:
            finite = bool(result.finite[index])
            group.steps[index].append(
                StepRecord(
                    step=step,
                    loss=result.losses[index].item() if finite else None,
                    supervised_tokens=int(result.supervised_tokens[index]),
                    grad_norm=result.grad_norms[index].item() if finite else None,
                    learning_rate=moves.learning_rates[index].item(),
                )
            )
