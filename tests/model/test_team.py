"""What needs no second process; tests/model/test_sharding.py has two."""

import torch

from rankshift.data.rendering import Rendered
from rankshift.model.team import ALONE, Team

ROWS = [Rendered((n, n + 1), (False, True), n) for n in range(7)]


def test_every_row_is_read_by_one_process_and_none_reads_two_more_than_another():
    shares = [Team(3, place).share(ROWS) for place in range(3)]
    assert sorted(row.row for share in shares for row in share) == list(range(7))
    assert [len(share) for share in shares] == [3, 2, 2]


def test_a_process_without_a_row_reads_one_that_carries_no_loss():
    shares = [Team(3, place).share(ROWS[:2]) for place in range(3)]
    assert [len(share) for share in shares] == [1, 1, 1]
    assert [sum(row.loss_mask) for share in shares for row in share] == [1, 1, 0]


def test_alone_all_rows_and_numbers_are_ones_own():
    tensor = torch.zeros(2, requires_grad=True)
    ALONE.add_gradients([tensor])
    ALONE.meet()
    assert ALONE.is_first
    assert ALONE.share(ROWS) == ROWS
    assert ALONE.add(tensor) is tensor
    assert tensor.grad is None
