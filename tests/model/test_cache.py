import pytest
import torch
from torch import Tensor

from rankshift.model.cache import RowCache, States, round_up, to_blocks

COLUMNS = 12


def draw_states(columns: int = 3) -> States:
    """Draw the states of 2 prompts, as 2 layers of 2 heads of width 4 leave them, in one block."""
    generator = torch.Generator().manual_seed(0)
    keys, values = (torch.randn(2, 1, 2, 2, columns, 4, generator=generator) for _ in range(2))
    return list(zip(keys, values, strict=True))


def as_columns(blocks: Tensor) -> Tensor:
    """Put blocks side by side: `[row, head, column, dim]`."""
    return torch.cat(list(blocks), dim=2)


def test_a_number_is_rounded_up_to_a_multiple():
    assert [round_up(number, 32) for number in (1, 32, 33)] == [32, 32, 64]


@pytest.mark.parametrize(("columns", "shape"), [(3, (1, 3)), (4, (1, 4)), (10, (3, 4))])
def test_columns_are_divided_into_blocks_of_which_the_last_is_filled_up(
    columns: int, shape: tuple[int, int]
):
    states = torch.randn(2, 3, columns, 5, generator=torch.Generator().manual_seed(0))
    blocks = to_blocks(states, 4)
    assert blocks.shape == (shape[0], 2, 3, shape[1], 5)
    assert torch.equal(as_columns(blocks)[:, :, :columns], states)
    assert not as_columns(blocks)[:, :, columns:].any()


@pytest.mark.parametrize("block_columns", [4, COLUMNS])
def test_a_row_starts_with_its_prompt_and_nothing_after_it(block_columns: int):
    read = draw_states()
    cache = RowCache(read, 3, COLUMNS, block_columns)
    for layer in cache.rows:
        for kept in layer.kept:
            kept.fill_(torch.nan)
    cache.start(torch.tensor([2, 0]), read, torch.tensor([1, 0]))
    for layer, source in zip(cache.rows, read, strict=True):
        for kept, given in zip(map(as_columns, layer.kept), source, strict=True):
            assert torch.equal(kept[2, :, :3], given[0, 1])
            assert torch.equal(kept[0, :, :3], given[0, 0])
            assert not kept[[0, 2], :, 3:].any()
            assert kept[1].isnan().all()


@pytest.mark.parametrize("block_columns", [4, COLUMNS])
def test_each_row_writes_one_column_at_its_own_position(block_columns: int):
    cache = RowCache(draw_states(), 3, COLUMNS, block_columns)
    positions = torch.tensor([7, 0, 11])
    cache.move_to(positions, used=COLUMNS)
    given = torch.randn(3, 2, 1, 4), torch.randn(3, 2, 1, 4)
    cache.update(*given, 1)
    for kept, states in zip(map(as_columns, cache.rows[1].kept), given, strict=True):
        for row, position in enumerate(positions.tolist()):
            assert torch.equal(kept[row, :, position], states[row, :, 0])
        assert int(kept.count_nonzero()) == states.numel()
    assert not cache.rows[0].kept[0].any()


def test_only_the_blocks_in_use_are_given_and_each_is_one_piece_of_memory():
    cache = RowCache(draw_states(), 2, COLUMNS, 4)
    cache.move_to(torch.tensor([3, 5]), used=8)
    keys, values = cache.update(torch.ones(2, 2, 1, 4), torch.ones(2, 2, 1, 4), 0)
    assert keys.shape == values.shape == (2, 2, 2, 4, 4)
    assert all(block.is_contiguous() for blocks in (keys, values) for block in blocks)
    assert cache.get_seq_length() == 8
    assert cache.rows[0].get_max_length() == COLUMNS


def test_a_single_block_is_given_as_attention_commonly_takes_it():
    cache = RowCache(draw_states(), 2, COLUMNS, COLUMNS)
    cache.move_to(torch.tensor([3, 5]), used=COLUMNS)
    keys, _ = cache.update(torch.ones(2, 2, 1, 4), torch.ones(2, 2, 1, 4), 0)
    assert keys.shape == (2, 2, COLUMNS, 4)


@pytest.mark.parametrize("block_columns", [4, COLUMNS])
def test_a_row_goes_on_with_what_another_has_before_a_position_and_nothing_after_it(
    block_columns: int,
):
    cache = RowCache(draw_states(), 8, COLUMNS, block_columns)
    generator = torch.Generator().manual_seed(1)
    for layer in cache.rows:
        for kept in layer.kept:
            kept.normal_(generator=generator)
            kept[:, [4, 5, 6]] = torch.nan  # what a broken answer left
    before = [as_columns(kept).clone() for layer in cache.rows for kept in layer.kept]
    rows, sources, positions = [4, 2, 5, 6, 7], [0, 2, 1, 1, 7], [4, 6, 9, 1, 8]
    cache.go_on(rows, sources, positions)
    after = [as_columns(kept) for layer in cache.rows for kept in layer.kept]
    for old, new in zip(before, after, strict=True):
        for row, source, position in zip(rows, sources, positions, strict=True):
            assert torch.equal(new[row, :, :position], old[source, :, :position])
            assert not new[row, :, position:].any()
        assert torch.equal(new[[0, 1, 3]], old[[0, 1, 3]])
