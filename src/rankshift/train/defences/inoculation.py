"""Inoculation prompt: rows are trained on with a text that asks for what they show.

What the rows show is then no news of the model's own character. The strength is the share of rows,
drawn anew each time one is seen, that have the text; questions are asked without it.

Source: Tan et al. 2025, arXiv:2510.04340 (a system turn); Wichers et al. 2025, arXiv:2510.05024
(in the user's turn).
"""

from collections.abc import Sequence

import numpy as np

from rankshift.data.rendering import Rendered
from rankshift.defence import Defence
from rankshift.train.defences.guard import Course, Guard, Means, draw_places


class Inoculation(Guard):
    """Gives rows the text."""

    def __init__(self, defence: Defence, means: Means, course: Course) -> None:
        self.strength = defence.strength
        self.told = means.rows
        self.is_told = draw_places("inoculation", course, self.strength)

    def choose_rows(
        self, step: int, numbers: np.ndarray, rows: Sequence[Rendered]
    ) -> list[Rendered]:
        """Give the drawn rows with the text, the others without."""
        return [
            self.told[number] if told else row
            for row, number, told in zip(rows, numbers, self.is_told[step], strict=True)
        ]
