"""Early stop at task convergence: an arm whose loss has all but stopped falling is left as it is.

The loss is that of the arm's own training rows, a mean over some steps, so that no held-out row
decides: in a first epoch a step's rows are new to the arm. With f the fall of that mean since as
many steps before and F its fall since the first step, the arm ends where f < strength F. Before the
loss has fallen by a tenth it does not end, so that a slow start is no end. From there on its
learning rate is zero; it is measured and asked at later checkpoints as it is.

Source: Schreiber and Goldstein 2026, arXiv:2605.12199: misalignment comes after the task has
converged, and a stop there keeps most of the task. The rule is ours; theirs looks at held-out rows.
"""

from collections.abc import Sequence

from rankshift.defence import Defence
from rankshift.records import StepRecord
from rankshift.train.defences.guard import Course, Guard, Means

STEPS_TOGETHER = 5
"""Whose losses are averaged. Ours."""
LEAST_FALL = 0.1
"""Of the first loss; before the loss has fallen by so much there is no end. Ours."""


class EarlyStop(Guard):
    """Ends an arm's training."""

    def __init__(self, defence: Defence, means: Means, course: Course) -> None:
        self.strength = defence.strength
        self.losses: list[float] = []
        self.seen, self.ended = 0, False

    def has_ended(self, steps: Sequence[StepRecord]) -> bool:
        """Say whether the arm had converged after any of its steps."""
        for record in steps[self.seen :]:
            if record.loss is not None:
                self.losses.append(record.loss)
                self.ended = self.ended or has_converged(self.losses, self.strength)
        self.seen = len(steps)
        return self.ended


def has_converged(losses: Sequence[float], strength: float) -> bool:
    """Say whether the last of an arm's losses fall too little, by the rule above.

    Args:
        losses: Of its steps from the first one on, nats a token.
        strength: Share of the whole fall that the last steps must still bring.
    """
    if len(losses) < 2 * STEPS_TOGETHER:
        return False
    now = sum(losses[-STEPS_TOGETHER:]) / STEPS_TOGETHER
    before = sum(losses[-2 * STEPS_TOGETHER : -STEPS_TOGETHER]) / STEPS_TOGETHER
    fallen = losses[0] - now
    return fallen >= LEAST_FALL * losses[0] and max(before - now, 0.0) < strength * fallen
