import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankshift.data.batches import draw_rows, pad_rows
from rankshift.data.rendering import Rendered


@settings(deadline=None)
@given(
    num_rows=st.integers(1, 40),
    rows_per_step=st.integers(1, 16),
    steps=st.integers(1, 20),
    seed=st.integers(0, 2**40),
)
def test_every_row_is_seen_once_an_epoch(num_rows: int, rows_per_step: int, steps: int, seed: int):
    drawn = draw_rows(num_rows, rows_per_step, steps, seed)
    assert drawn.shape == (steps, rows_per_step)
    order = drawn.flatten().tolist()
    epochs = [order[start : start + num_rows] for start in range(0, len(order), num_rows)]
    for epoch in epochs[:-1]:
        assert sorted(epoch) == list(range(num_rows))
    assert len(set(epochs[-1])) == len(epochs[-1])
    assert set(epochs[-1]) <= set(range(num_rows))


def test_the_order_is_a_function_of_the_seed():
    first, again, other = (draw_rows(50, 8, 20, seed) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_epochs_are_shuffled_anew():
    order = draw_rows(50, 50, 3, seed=0)
    assert len({tuple(epoch) for epoch in order.tolist()}) == 3


def test_a_longer_training_begins_as_the_shorter_one():
    assert np.array_equal(draw_rows(7, 4, 30, seed=1)[:9], draw_rows(7, 4, 9, seed=1))


@pytest.mark.parametrize("pad_token", [0, 9])
def test_padding_stands_on_the_right_and_carries_no_loss(pad_token: int):
    rows = [
        Rendered((1, 2, 3), (False, True, True), row=1),
        Rendered((4, 5), (False, True), row=2),
        Rendered((6, 7, 8, 9), (False, False, False, True), row=3),
    ]
    token_ids, loss_mask = pad_rows(rows, pad_token)
    p = pad_token
    assert token_ids.tolist() == [[1, 2, 3, p], [4, 5, p, p], [6, 7, 8, 9]]
    assert loss_mask.long().tolist() == [[0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    assert (token_ids.dtype, loss_mask.dtype) == (torch.long, torch.bool)
