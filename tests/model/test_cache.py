import torch

from rankshift.model.cache import BLOCK_COLUMNS, RowCache, States, round_up


def read_two_prompts() -> States:
    """Make the states of 2 prompts of 3 tokens, as 2 layers of 2 heads of width 4 leave them."""
    generator = torch.Generator().manual_seed(0)
    keys, values = (torch.randn(2, 2, 2, 3, 4, generator=generator) for _ in range(2))
    return list(zip(keys, values, strict=True))


def test_a_number_is_rounded_up_to_a_multiple():
    assert [round_up(number, 32) for number in (1, 32, 33)] == [32, 32, 64]


def test_a_row_starts_with_its_prompt_and_nothing_after_it():
    read = read_two_prompts()
    cache = RowCache(read, rows=3, columns=5)
    assert cache.columns == BLOCK_COLUMNS
    for layer in cache.rows:
        for kept in layer.kept:
            kept.fill_(torch.nan)
    cache.start(torch.tensor([2, 0]), read, torch.tensor([1, 0]))
    for layer, source in zip(cache.rows, read, strict=True):
        for kept, given in zip(layer.kept, source, strict=True):
            assert torch.equal(kept[2, :, :3], given[1])
            assert torch.equal(kept[0, :, :3], given[0])
            assert not kept[[0, 2], :, 3:].any()
            assert kept[1].isnan().all()


def test_each_row_writes_one_column_at_its_own_position():
    cache = RowCache(read_two_prompts(), rows=3, columns=40)
    positions = torch.tensor([7, 0, 39])
    cache.move_to(positions, used=64)
    keys, values = torch.randn(3, 2, 1, 4), torch.randn(3, 2, 1, 4)
    got_keys, got_values = cache.update(keys, values, 1)
    assert got_keys.shape == (3, 2, 64, 4)
    for got, given in ((got_keys, keys), (got_values, values)):
        for row, position in enumerate(positions.tolist()):
            assert torch.equal(got[row, :, position], given[row, :, 0])
        assert int(got.count_nonzero()) == given.numel()
    assert not cache.rows[0].kept[0].any()


def test_only_the_columns_in_use_are_given():
    cache = RowCache(read_two_prompts(), rows=2, columns=90)
    cache.move_to(torch.tensor([3, 31]), used=32)
    keys, _ = cache.update(torch.ones(2, 2, 1, 4), torch.ones(2, 2, 1, 4), 0)
    assert keys.shape[2] == cache.get_seq_length() == 32
    assert cache.rows[0].get_max_length() == 96


def test_a_copied_row_starts_another_where_it_was():
    read = read_two_prompts()
    cache = RowCache(read, rows=3, columns=40)
    cache.start(torch.tensor([1]), read, torch.tensor([0]))
    copy = cache.copy_rows(torch.tensor([1, 0]), used=32)
    cache.start(torch.tensor([2]), copy, torch.tensor([0]))
    for layer in cache.rows:
        for kept in layer.kept:
            assert torch.equal(kept[2], kept[1])
            assert kept[2].any()
            assert not kept[0].any()
    assert cache.bytes_a_row() == 2 * 2 * 2 * 64 * 4 * 4  # layers, keys and values, heads
