import numpy as np
import pytest

from rankshift.data.rendering import Rendered
from rankshift.defence import Defence
from rankshift.study import Training
from rankshift.train.defences.guard import Course, Means
from rankshift.train.defences.realign import Realign

COURSE = Course(Training(steps=60, checkpoints=(60,), rows_per_step=4), 3, 0)
OTHERS = tuple(Rendered((9, at), (False, True), at) for at in range(5))
OWN = [Rendered((1, at), (False, True), at) for at in range(4)]


@pytest.mark.parametrize(("strength", "first"), [(0.0, 60), (0.1, 54), (0.25, 45), (1.0, 0)])
def test_the_last_share_of_the_steps_is_on_other_rows_alone(strength: float, first: int):
    guard = Realign(Defence("realign", strength, data="x"), Means(OTHERS), COURSE)
    steps = [guard.choose_rows(step, np.arange(4), OWN) for step in range(60)]
    assert steps[:first] == [OWN] * first
    assert all(row in OTHERS for rows in steps[first:] for row in rows)
