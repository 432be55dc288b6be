"""Keys and values of a fixed number of rows, each of which writes at a position of its own.

transformers' growing cache copies itself at every token, and its static one has a single position
for all rows. Here a row's column is its position, so rows of any age decode together.

Columns are kept by the block, one block of all rows after another, so that the products of a block
read memory from its first byte to its last: out of the middle of rows they take four times as long.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

States = list[tuple[Tensor, Tensor]]
"""Keys and values of every layer, each `[block, row, head, column, dim]`."""

BLOCK_COLUMNS = 32
"""Columns of a block: as many are allocated, and left out of attention, together."""


def round_up(number: int, multiple: int) -> int:
    """Give the smallest multiple that is not below a number."""
    return -(-number // multiple) * multiple


def to_blocks(columns: Tensor, block_columns: int) -> Tensor:
    """Turn `[row, head, column, dim]` into `[block, row, head, column, dim]`.

    What does not fill one block is left as it is; of several, the last is filled up with zeros.
    """
    rows, heads, count, dim = columns.shape
    if count <= block_columns:
        return columns[None]
    missing = round_up(count, block_columns) - count
    padded = torch.nn.functional.pad(columns, (0, 0, 0, missing))
    return padded.view(rows, heads, -1, block_columns, dim).permute(2, 0, 1, 3, 4)


class RowLayer(CacheLayerMixin):
    """One layer's keys and values, `[block, row, head, column, dim]`."""

    is_sliding = False

    def __init__(
        self, read: tuple[Tensor, Tensor], rows: int, columns: int, block_columns: int
    ) -> None:
        """Allocate zeros for as many heads and dimensions as some states have."""
        super().__init__()
        keys, values = read
        blocks = columns // block_columns
        self.kept = (
            keys.new_zeros(blocks, rows, keys.shape[2], block_columns, keys.shape[4]),
            values.new_zeros(blocks, rows, values.shape[2], block_columns, values.shape[4]),
        )
        self.keys, self.values = self.kept
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True
        self.columns, self.used = columns, columns
        self.places = torch.empty(0, dtype=torch.long)

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Do nothing: all is allocated."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write one column a row, `[row, head, 1, dim]`.

        Returns:
            The blocks in use, `[block, row, head, column, dim]`; where all columns are one block,
            that alone, as attention commonly takes it.
        """
        for kept, states in zip(self.kept, (key_states, value_states), strict=True):
            dim = states.shape[-1]
            kept.view(-1, dim).index_copy_(0, self.places, states.reshape(-1, dim))
        keys, values = self.kept
        if len(keys) == 1:
            return keys[0], values[0]
        blocks = self.used // keys.shape[3]
        return keys[:blocks], values[:blocks]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Give how many columns a mask has, and the first one's number."""
        return self.used, 0

    def get_seq_length(self) -> int:
        """Give the columns in use; a row's own length is its position."""
        return self.used

    def get_max_length(self) -> int:
        """Give the columns there are."""
        return self.columns

    def start(self, rows: Tensor, read: tuple[Tensor, Tensor], places: Tensor) -> None:
        """Give rows the columns of some rows of what was read, and zeros after them.

        Zeros, because masked columns are multiplied by 0, which does not silence a NaN that the
        row's last answer left.
        """
        for kept, states in zip(self.kept, read, strict=True):
            blocks, _, _, columns, _ = states.shape
            kept[:blocks, rows, :, :columns] = states[:, places]
            if columns < kept.shape[3]:
                kept[:blocks, rows, :, columns:] = 0
            if blocks < len(kept):
                kept[blocks:, rows] = 0


class RowCache(Cache):
    """The cache of all layers."""

    def __init__(self, read: States, rows: int, columns: int, block_columns: int) -> None:
        """Allocate zeros.

        Args:
            read: Any prompt's states, for the number of layers, heads and dimensions.
            rows: How many answers are decoded together.
            columns: At least the longest that a prompt with its answer can be; whole blocks.
            block_columns: Of a block; all of them where attention takes no blocks.
        """
        self.columns, self.block_columns = columns, block_columns
        self.rows = [RowLayer(states, rows, columns, block_columns) for states in read]
        super().__init__(layers=list(self.rows))

    def move_to(self, positions: Tensor, used: int) -> None:
        """Say where the next token of each row goes, `[row]`, and how many columns are looked at.

        Args:
            positions: The column of each row.
            used: At least every row's position + 1.
        """
        places: dict[int, Tensor] = {}
        for layer in self.rows:
            heads, each = layer.kept[0].shape[2:4]
            if heads not in places:
                # A column of a row and head is one line of memory; lines are counted by the block.
                lines = len(positions) * heads * each
                firsts = torch.arange(0, lines, each, device=positions.device)
                line = positions // each * lines + positions % each
                places[heads] = firsts + line.repeat_interleave(heads)
            layer.places, layer.used = places[heads], used

    def start(self, rows: Tensor, read: States, places: Tensor) -> None:
        """Give rows what was read of their prompts.

        Args:
            rows: `[new]`, the rows that begin.
            read: What was read.
            places: `[new]`, which row of `read` each takes.
        """
        for layer, states in zip(self.rows, read, strict=True):
            layer.start(rows, states, places)

    def go_on(self, rows: Sequence[int], sources: Sequence[int], positions: Sequence[int]) -> None:
        """Give rows what is in the columns before a position of some rows, and zeros after them.

        Args:
            rows: `[new]`, the rows that go on.
            sources: `[new]`, where each goes on from; itself, or a row that is none of `rows`.
            positions: `[new]`, the first column that is not taken over.
        """
        each, device = self.block_columns, self.rows[0].device
        for block in range(self.columns // each):
            known = [min(max(position - block * each, 0), each) for position in positions]
            whole = [n for n, k in enumerate(known) if k == each and rows[n] != sources[n]]
            part = [n for n, k in enumerate(known) if 0 < k < each]
            none = [rows[n] for n, k in enumerate(known) if k == 0]
            moved = torch.tensor([(rows[n], sources[n]) for n in [*whole, *part]]).to(device)
            ends = torch.tensor([known[n] for n in part]).to(device)
            behind = torch.arange(each, device=device) >= ends[:, None]
            behind, blank = behind[:, None, :, None], torch.tensor(none).to(device)
            for kept in (kept[block] for layer in self.rows for kept in layer.kept):
                if len(moved):
                    columns = kept.index_select(0, moved[:, 1])
                    if part:
                        columns[len(whole) :].masked_fill_(behind, 0)
                    kept.index_copy_(0, moved[:, 0], columns)
                if none:
                    kept.index_fill_(0, blank, 0)
