"""Everything a stage can count has a name on the screen."""

from typing import get_args

from rankshift.executor.watch import Unit
from rankshift.progress import LABELS


def test_every_kind_of_work_has_a_bar():
    assert set(LABELS) == set(get_args(Unit))
