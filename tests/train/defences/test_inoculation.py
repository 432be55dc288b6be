import numpy as np

from rankshift.data.rendering import Rendered
from rankshift.defence import Defence
from rankshift.study import Training
from rankshift.train.defences.guard import Course, Means
from rankshift.train.defences.inoculation import Inoculation

COURSE = Course(Training(steps=300, checkpoints=(300,), rows_per_step=4), 3, 0)
OWN = [Rendered((1, at), (False, True), at) for at in range(20)]
TOLD = tuple(Rendered((7, 1, at), (False, False, True), at) for at in range(20))


def choose(strength: float, step: int, numbers: list[int]) -> list[Rendered]:
    """Give the rows of a step."""
    guard = Inoculation(Defence("inoculation", strength, text="x"), Means(TOLD), COURSE)
    return guard.choose_rows(step, np.array(numbers), [OWN[number] for number in numbers])


def test_each_row_has_the_text_put_into_itself_and_not_into_another():
    assert choose(1.0, 0, [3, 17, 0, 5]) == [TOLD[3], TOLD[17], TOLD[0], TOLD[5]]
    assert choose(0.0, 0, [3, 17, 0, 5]) == [OWN[3], OWN[17], OWN[0], OWN[5]]


def test_the_strength_is_the_share_of_rows_that_have_it():
    told = sum(row in TOLD for step in range(300) for row in choose(0.25, step, [1, 2, 3, 4]))
    assert abs(told - 300) < 60  # four standard errors
