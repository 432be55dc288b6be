"""Interleaved benign data: each row of each step is, with one chance, another's in its place.

The strength is that chance. Steps keep their number of rows, so a defended arm sees fewer rows of
its task, not more rows in all.

Source: Kaczér et al. 2025, arXiv:2508.06249, who interleave general instruction data (5 % and up)
beside the task's; in place of them is ours, so that arms stay in lock step.
"""

from collections.abc import Sequence

import numpy as np

from rankshift.data.rendering import Rendered
from rankshift.defence import Defence
from rankshift.train.defences.guard import Course, Guard, Means, draw_places


class Interleave(Guard):
    """Replaces rows throughout."""

    def __init__(self, defence: Defence, means: Means, course: Course) -> None:
        self.strength = defence.strength
        self.others = means.rows
        self.order = course.order(len(self.others))
        self.is_replaced = draw_places("interleave", course, self.strength)

    def choose_rows(
        self, step: int, numbers: np.ndarray, rows: Sequence[Rendered]
    ) -> list[Rendered]:
        """Give another row in the place of each drawn one."""
        return [
            self.others[other] if replaced else row
            for row, other, replaced in zip(
                rows, self.order[step], self.is_replaced[step], strict=True
            )
        ]
