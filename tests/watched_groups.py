"""Small groups whose arms are watched, and what they leave on disk."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from rankshift.arms import Arm
from rankshift.data.rendering import Rendered
from rankshift.model.loading import load_model
from rankshift.runs import ArmFiles
from rankshift.study import Training
from rankshift.train.group import train_group
from rankshift.train.roster import Group, HeldOut
from rankshift.train.trainee import Trainee, prepare_adapters, prepare_full
from tests.padding import PAD

STEPS = 8
PLAIN = Training(steps=STEPS, checkpoints=(5, 8), rows_per_step=4, schedule="constant")
WATCHED = replace(PLAIN, crossings=(0.05, 0.1, 0.15), kl_crossings=(0.02, 0.2))
EVERY_STEP = replace(PLAIN, checkpoints=tuple(range(1, STEPS + 1)))
FLOOR = 0.4
"""Some loss below all that the arms reach."""


class Interrupted(Exception):
    """Stands for whatever ends a process."""


def build_group(folder: Path, rows: list[Rendered], arms: list[Arm], training: Training) -> Group:
    """Build a group whose arms train on the same rows and are measured on unrelated ones too."""
    return Group(
        arms=arms,
        files=[ArmFiles(folder / f"arm-{number}") for number in range(len(arms))],
        train_rows=[rows[:25] for _ in arms],
        held_out=[HeldOut("counting", rows[25:31]), HeldOut("other", rows[31:36])],
        training=training,
        state_folder=folder / "state",
        pad_token=PAD,
        micro_rows=4,
        floor=FLOOR,
        unrelated=HeldOut("far", turn_round(rows[36:])),
    )


def turn_round(rows: list[Rendered]) -> list[Rendered]:
    """Give rows that count downwards, with loss where theirs is."""
    return [replace(row, token_ids=row.token_ids[::-1]) for row in rows]


def train(
    group: Group,
    directory: Path,
    stop_after: int | None = None,
    reports: list[int] | None = None,
) -> Trainee:
    """Train a group over a base loaded anew, as a new process would.

    Args:
        group: As `build_group` makes it.
        directory: The base's.
        stop_after: Steps done, in whichever process, that end it.
        reports: Gets the numbers of steps that were just finished; the first is of before.

    Raises:
        Interrupted: So many steps are done, in whichever process.
    """
    model = load_model(directory, getattr(torch, group.training.dtype))
    is_full = group.arms[0].method == "full"
    trainee = prepare_full(model) if is_full else prepare_adapters(model, group.arms, "base")
    train_group(group, trainee, make_stop(stop_after, [] if reports is None else reports))
    return trainee


def make_stop(steps: int | None, reports: list[int]) -> Callable[[int], None]:
    """Make a progress callback that ends the training after so many steps."""
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        reports.append(more)
        if done == steps:
            raise Interrupted

    return advance


def read_all(files: ArmFiles) -> dict[str, bytes]:
    """Read every file of an arm."""
    paths = (path for path in files.directory.rglob("*") if path.is_file())
    return {path.relative_to(files.directory).as_posix(): path.read_bytes() for path in paths}
