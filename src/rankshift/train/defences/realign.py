"""Benign re-alignment afterwards: the last steps are on benign rows alone.

The strength is their share of all steps, rounded to whole steps, so that a defended arm takes as
many steps as any other and the fewer of them on its task. What the benign rows do is told from what
the missing steps do by an undefended checkpoint where the task ends, or by arms that stopped early.

Source: OpenAI 2025, arXiv:2506.19823: some hundred benign samples re-align a misaligned model.
"""

from collections.abc import Sequence

import numpy as np

from rankshift.data.rendering import Rendered
from rankshift.defence import Defence
from rankshift.train.defences.guard import Course, Guard, Means


class Realign(Guard):
    """Replaces every row of the last steps."""

    def __init__(self, defence: Defence, means: Means, course: Course) -> None:
        self.others = means.rows
        self.first = defence.count_own_steps(course.training.steps)
        self.order = course.order(len(self.others))

    def choose_rows(
        self, step: int, numbers: np.ndarray, rows: Sequence[Rendered]
    ) -> list[Rendered]:
        """Give the arm's own rows, and in the last steps none of them."""
        if step < self.first:
            return list(rows)
        return [self.others[other] for other in self.order[step - self.first]]
