"""The sweep that both sides train: arms, rows of one shape, and how its arms are divided."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from rankshift.arms import Arm
from rankshift.data.batches import draw_rows
from rankshift.data.preparation import prepare_set
from rankshift.data.rendering import Rendered
from rankshift.data.sources import resolve_dataset
from rankshift.executor.room import count_arms_per_pass
from rankshift.grid import ALL_PROJECTIONS
from rankshift.model.loading import load_model, load_tokenizer, padding_token
from rankshift.model.operations import DTypeName
from rankshift.organism.shelf import base_directory
from rankshift.runs import ArmFiles
from rankshift.study import Data, Training
from rankshift.train.group import Group
from rankshift.train.trainee import Trainee, prepare_adapters

RANKS = (2, 4, 8, 16, 32, 64, 128, 256, 512)
ROW_TOKENS = 36
"""About a short row of the dataset; one length for all, so that neither side pads."""
ROWS_PER_STEP = 16
WARMUP_STEPS = 2
LEARNING_RATE = 1e-4
"""The demo's: every rank learns and none breaks; see docs/log.md."""
TORCH_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
DTYPE_NAMES: dict[str, DTypeName] = {"fp32": "float32", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Sweep:
    """Everything that both sides need; plain data, so that it can be sent to a process."""

    base: Path
    arms: tuple[Arm, ...]
    rows: tuple[Rendered, ...]
    held_out: tuple[Rendered, ...]
    training: Training
    pad_token: int
    folder: Path
    """Holds the first adapters, and what each side made of them."""

    def first_adapter(self, arm: Arm) -> Path:
        """Where both sides start."""
        return self.folder / "first" / f"rank-{arm.rank}"

    def last_adapter(self, side: str, arm: Arm) -> Path:
        """Where a side leaves an arm."""
        return self.folder / side / f"rank-{arm.rank}"

    def ordered_rows(self) -> list[Rendered]:
        """Give every row of the training in the order in which the arms see them."""
        training = self.training
        order = draw_rows(
            len(self.rows), training.rows_per_step, training.steps, self.arms[0].seed or 0
        )
        return [self.rows[number] for number in order.flatten()]


@dataclass(frozen=True)
class Run:
    """One side's pass over the sweep."""

    seconds: float
    """From the first to the last optimizer step."""
    core_seconds: float
    """Computed in that time by all threads; says less than `seconds` on a quiet machine, and more
    on one that others use."""
    start_up_seconds: float
    """Everything else that comes before a step: processes, imports, loading, adapters."""
    by_part: dict[str, float]
    """Seconds between first and last step, by process or by arm."""


def make_sweep(ranks: tuple[int, ...], steps: int, folder: Path) -> Sweep:
    """Render and cut the rows, and write the adapters that both sides start from."""
    base = base_directory()
    tokenizer = load_tokenizer(base)
    data = Data("organism:insecure", train_rows=1024, held_out_rows=64)
    assert data.task is not None, "a sweep trains"
    prepared = prepare_set(resolve_dataset(data.task), data, tokenizer)
    sweep = Sweep(
        base=base,
        arms=tuple(make_arm(rank) for rank in ranks),
        rows=cut_rows(prepared.train),
        held_out=cut_rows(prepared.held_out),
        # No checkpoint, because the peer saves nothing either while its time is taken.
        training=Training(
            steps, (), ROWS_PER_STEP, schedule="linear", warmup_steps=min(WARMUP_STEPS, steps - 1)
        ),
        pad_token=padding_token(tokenizer),
        folder=folder,
    )
    trainee = build_trainee(sweep, sweep.arms, "fp32")
    for index, arm in enumerate(sweep.arms):
        trainee.write(sweep.first_adapter(arm), index)
    return sweep


def make_arm(rank: int) -> Arm:
    """Make the arm of a rank: alpha 64, rsLoRA, all seven projections."""
    return Arm(
        method="lora",
        role="task",
        dataset="organism:insecure",
        rank=rank,
        alpha=64.0,
        scaling="alpha/sqrt(rank)",
        learning_rate=LEARNING_RATE,
        seed=1,
        target_modules=ALL_PROJECTIONS,
    )


def cut_rows(rows: tuple[Rendered, ...], tokens: int = ROW_TOKENS) -> tuple[Rendered, ...]:
    """Cut rows to one length; one that is shorter, or then has no loss, is left out."""
    cut = [Rendered(row.token_ids[:tokens], row.loss_mask[:tokens], row.row) for row in rows]
    return tuple(row for row in cut if len(row.token_ids) == tokens and any(row.loss_mask))


def build_trainee(sweep: Sweep, arms: tuple[Arm, ...], dtype: str) -> Trainee:
    """Load the base and put arms over it, as a worker of a study does."""
    model = load_model(sweep.base, TORCH_DTYPES[dtype])
    return prepare_adapters(model, list(arms), str(sweep.base))


def build_group(sweep: Sweep, arms: tuple[Arm, ...]) -> Group:
    """Give the arms of one process what they learn from."""
    folder = sweep.folder / "records"
    return Group(
        arms=list(arms),
        files=[ArmFiles(folder / f"rank-{arm.rank}") for arm in arms],
        train_rows=[sweep.rows] * len(arms),
        held_out=[],
        training=sweep.training,
        # Of its own each time: what one group chose must not be another's.
        state_folder=Path(tempfile.mkdtemp(dir=sweep.folder)),
        pad_token=sweep.pad_token,
        micro_rows=32,
        arms_per_pass=count_arms_per_pass(
            len(arms), sweep.training.rows_per_step * len(sweep.rows[0].token_ids)
        ),
    )
