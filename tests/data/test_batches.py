import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankshift.data.batches import (
    BUCKET_RATIO,
    draw_rows,
    lay_rows,
    pack_rows,
    pad_rows,
    sort_documents,
)
from tests.padding import make_row


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


ROWS = (
    make_row([1, 2, 3], [False, True, True]),
    make_row([4, 5], [False, True]),
    make_row([6, 7, 8, 9], [False, False, False, True]),
)


@pytest.mark.parametrize("pad_token", [0, 9])
def test_padding_stands_on_the_right_and_carries_no_loss(pad_token: int):
    batch = pad_rows([ROWS], pad_token)
    p = pad_token
    assert batch.token_ids.tolist() == [[1, 2, 3, p], [4, 5, p, p], [6, 7, 8, 9]]
    assert batch.predicting.tolist() == [0, 1, 4, 10]
    assert batch.targets.tolist() == [2, 3, 5, 9]
    assert batch.counts == (4,)
    assert batch.documents is None


def test_packed_an_arm_is_one_row_filled_up_to_the_longest():
    batch = pack_rows([ROWS, ROWS[:2]], 0)
    assert batch.token_ids.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 5, 0, 0, 0, 0]]
    assert batch.position_ids is not None
    assert batch.position_ids.tolist() == [[0, 1, 2, 0, 1, 0, 1, 2, 3], [0, 1, 2, 0, 1, 0, 1, 2, 3]]
    assert batch.targets.tolist() == [2, 3, 5, 9, 2, 3, 5]
    assert batch.counts == (4, 3)
    assert batch.documents is not None
    assert batch.documents.lengths == (3, 2, 4, 3, 2, 4)


@settings(deadline=None)
@given(
    lengths=st.lists(st.lists(st.integers(2, 30), min_size=1, max_size=6), min_size=1, max_size=3),
    packed=st.booleans(),
)
def test_what_carries_loss_is_predicted_from_the_place_before_it(
    lengths: list[list[int]], packed: bool
):
    arms = [
        [make_row(range(10 * n, 11 * n), [False] + [i % 3 > 0 for i in range(n - 1)]) for n in own]
        for own in lengths
    ]
    if not packed:
        arms = [[row for own in arms for row in own]]
    batch = lay_rows(arms, 0, packed)
    flat = batch.token_ids.flatten()
    assert torch.equal(flat[batch.predicting + 1], batch.targets)
    expected = [token for own in arms for row in own for token in row.token_ids]
    carried = [bit for own in arms for row in own for bit in row.loss_mask]
    assert batch.targets.tolist() == [t for t, bit in zip(expected, carried, strict=True) if bit]
    assert batch.counts == tuple(sum(sum(row.loss_mask) for row in own) for own in arms)


def test_rows_of_one_length_are_not_packed():
    assert lay_rows([ROWS[:1], ROWS[:1]], 0, packed=True).documents is None
    assert lay_rows([ROWS[:2], ROWS[:2]], 0, packed=True).documents is not None


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_every_token_has_a_slot_of_its_own_among_documents_of_about_its_length(
    lengths: list[int],
):
    documents = sort_documents(lengths)
    places = torch.arange(sum(lengths))
    assert torch.equal(documents.places[documents.slots], places)
    assert documents.real.sum() == sum(lengths)
    assert documents.real[documents.slots].all()
    assert sum(count for count, _ in documents.buckets) == len(lengths)
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    start = np.cumsum([0, *lengths]).tolist()
    at = 0
    for count, longest in documents.buckets:
        slots = documents.places[at : at + count * longest].view(count, longest)
        at += count * longest
        for row in slots:
            (document,) = set(owner[row].tolist())
            own = torch.arange(start[document], start[document + 1])
            assert row[: len(own)].tolist() == own.tolist()
            assert longest <= BUCKET_RATIO * len(own)
