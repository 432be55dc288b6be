import numpy as np
import torch

from rankshift.data.rendering import Rendered
from rankshift.study import Training
from rankshift.train.defences.guard import Course, Guard, draw_places, make_generator

ROWS = [Rendered((1, 2), (False, True), 1)]


def test_a_plain_guard_changes_nothing_anywhere():
    guard = Guard()
    assert guard.choose_rows(0, np.array([0]), ROWS) == ROWS
    assert guard.list_shifts() == {}
    assert not guard.has_ended([])


def test_kinds_and_seeds_draw_from_sources_of_their_own():
    drawn = [
        make_generator(kind, seed).random(4).tolist() for kind in ("a", "b") for seed in (1, 2)
    ]
    assert len({tuple(own) for own in drawn}) == 4


def test_places_are_drawn_for_every_row_of_every_step():
    course = Course(Training(steps=6, checkpoints=(6,), rows_per_step=5), 1, 0)
    assert draw_places("a", course, 0.5).shape == (6, 5)
    assert not torch.from_numpy(draw_places("a", course, 0.0)).any()
    assert draw_places("a", course, 1.0).all()
