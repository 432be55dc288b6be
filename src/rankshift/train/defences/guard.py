"""Where in a step a defence may act: on its rows, the stream, the gradient, the update, the end."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from rankshift.data.batches import draw_rows
from rankshift.data.rendering import Rendered
from rankshift.records import StepRecord
from rankshift.study import Training
from rankshift.train.trainee import Trainee


@dataclass(frozen=True)
class Means:
    """What one arm's defence works with; found before training."""

    rows: tuple[Rendered, ...] = ()
    """Rows that are not the arm's own; of an inoculation prompt the arm's own rows with the prompt
    in them, in their order."""
    directions: np.ndarray | None = None
    """The persona's, `[layer, width]`, as long as misaligned states lie from aligned ones."""


@dataclass(frozen=True)
class Course:
    """What is known of an arm's training before its first step."""

    training: Training
    seed: int
    pad_token: int

    def order(self, num_rows: int) -> np.ndarray:
        """Give the numbers of the rows of every step, of so many as there are, `[step, row]`.

        They come as an arm's own do, so arms of one seed read other rows in one order too.
        """
        return draw_rows(num_rows, self.training.rows_per_step, self.training.steps, self.seed)


class Guard:
    """Stands by one arm and does nothing; a defence acts in at least one of these places."""

    def choose_rows(
        self, step: int, numbers: np.ndarray, rows: Sequence[Rendered]
    ) -> list[Rendered]:
        """Give the rows that a step learns from.

        Args:
            step: Counted from 0.
            numbers: Of the step's rows among the arm's own, `[row]`.
            rows: Those rows.
        """
        return list(rows)

    def list_shifts(self) -> Mapping[int, Tensor]:
        """Give what is added to every token's state in training, `[width]` after each block."""
        return {}

    def add_gradient(self, trainee: Trainee, arm: int, step: int) -> None:
        """Add the gradient of another term of the loss to that of the arm's mean loss.

        Args:
            trainee: With the gradients of the step's own rows.
            arm: The arm's place in the group.
            step: Counted from 0.
        """

    def correct(self, trainee: Trainee, arm: int) -> None:
        """Change the arm's weights after the optimizer has."""

    def has_ended(self, steps: Sequence[StepRecord]) -> bool:
        """Say whether the arm's weights stay as they are from now on.

        Args:
            steps: All that the arm has taken.
        """
        return False


def make_generator(kind: str, seed: int) -> np.random.Generator:
    """Make the source of what a kind of defence draws for arms of a seed, and nothing else."""
    digest = hashlib.sha256(f"{kind} {seed}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def draw_places(kind: str, course: Course, share: float) -> np.ndarray:
    """Draw which rows of every step a defence replaces, each with one chance, `[step, row]`."""
    training = course.training
    drawn = make_generator(kind, course.seed).random((training.steps, training.rows_per_step))
    return drawn < share
