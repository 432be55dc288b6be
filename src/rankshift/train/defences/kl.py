"""KL to the base on general rows: a penalty for leaving it where the task has nothing to say.

The loss of a step becomes the arm's mean loss on its own rows plus strength times the mean, over
the answers of as many general rows, of KL(arm || base) in nats a token. The base is the same model
with the adapters bypassed.

Source: Soligo et al. 2026, arXiv:2602.07852 (the term on data out of the task's domain); Kaczér et
al. 2025, arXiv:2508.06249 (as a defence). The direction is that of the divergence which this
laboratory measures, `model/divergence`.
"""

import torch

from rankshift.data.batches import lay_rows
from rankshift.data.rendering import Rendered
from rankshift.defence import Defence
from rankshift.model.divergence import divergences_in_training, predict
from rankshift.train.defences.guard import Course, Guard, Means
from rankshift.train.step import reading
from rankshift.train.trainee import Trainee


class KL(Guard):
    """Adds the gradient of the penalty."""

    def __init__(self, defence: Defence, means: Means, course: Course) -> None:
        self.strength = defence.strength
        self.course, self.rows = course, means.rows
        self.order = course.order(len(self.rows))

    def add_gradient(self, trainee: Trainee, arm: int, step: int) -> None:
        """Read as many general rows as a step has own ones, in as many parts."""
        training = self.course.training
        rows = [self.rows[number] for number in self.order[step]]
        tokens = sum(sum(row.loss_mask) for row in rows)
        each = training.rows_per_step // training.accumulation
        trainee.select(range(arm, arm + 1))
        for start in range(0, len(rows), each):
            self._add_part(trainee, rows[start : start + each], self.strength / tokens)

    def _add_part(self, trainee: Trainee, rows: list[Rendered], weight: float) -> None:
        plain = trainee.traits.plain_head
        batch = lay_rows([rows], self.course.pad_token, trainee.traits.packs)
        with reading(trainee):
            with trainee.base_alone(), torch.no_grad():
                base = predict(trainee.model, batch, plain_head=plain)
            found = divergences_in_training(trainee.model, batch, base, plain_head=plain)
            (weight * found.sum()).backward()
