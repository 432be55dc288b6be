import numpy as np
import pytest

from rankshift.data.rendering import Rendered
from rankshift.defence import Defence
from rankshift.study import Training
from rankshift.train.defences.guard import Course, Means
from rankshift.train.defences.interleave import Interleave

COURSE = Course(Training(steps=200, checkpoints=(200,), rows_per_step=10), 3, 0)
OTHERS = tuple(Rendered((9, at), (False, True), at) for at in range(7))
OWN = [Rendered((1, at), (False, True), at) for at in range(10)]


def choose_all(strength: float, course: Course = COURSE) -> list[list[Rendered]]:
    """Give the rows of all steps."""
    guard = Interleave(Defence("interleave", strength, data="x"), Means(OTHERS), course)
    numbers = np.arange(10)
    return [guard.choose_rows(step, numbers, OWN) for step in range(course.training.steps)]


@pytest.mark.parametrize("strength", [0.05, 0.3])
def test_rows_keep_their_place_or_give_it_to_another_with_the_chance_that_is_the_strength(strength):
    steps = choose_all(strength)
    replaced = sum(row in OTHERS for rows in steps for row in rows)
    error = (2000 * strength * (1 - strength)) ** 0.5
    assert abs(replaced - 2000 * strength) < 4 * error
    assert all(row == OWN[at] or row in OTHERS for rows in steps for at, row in enumerate(rows))


def test_at_strength_zero_every_row_stays_and_at_one_none():
    assert choose_all(0.0) == [OWN] * 200
    assert all(row in OTHERS for rows in choose_all(1.0) for row in rows)


def test_every_other_row_comes_up_equally_often():
    met = [row.row for rows in choose_all(1.0) for row in rows]
    counts = np.bincount(met, minlength=7)
    assert counts.max() - counts.min() <= 1


def test_arms_of_one_seed_are_given_the_same_rows_and_of_another_seed_others():
    other = Course(COURSE.training, 4, 0)
    assert choose_all(0.3) == choose_all(0.3)
    assert choose_all(0.3) != choose_all(0.3, other)
