"""Keys and values of a fixed number of rows, each of which writes at a position of its own.

transformers' growing cache copies itself at every token, and its static one has a single position
for all rows. Here a row's column is its position, so rows of any age decode together.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

States = list[tuple[Tensor, Tensor]]
"""Keys and values of every layer, each `[row, head, column, dim]`."""

BLOCK_COLUMNS = 32
"""Columns are allocated, and left out of attention, by the block."""


def round_up(number: int, multiple: int) -> int:
    """Give the smallest multiple that is not below a number."""
    return -(-number // multiple) * multiple


class RowLayer(CacheLayerMixin):
    """One layer's keys and values, `[row, head, column, dim]`."""

    is_sliding = False

    def __init__(self, keys: Tensor, values: Tensor, rows: int, columns: int) -> None:
        """Allocate zeros like the given keys and values, `[prompt, head, column, dim]`."""
        super().__init__()
        self.kept = (
            keys.new_zeros(rows, keys.shape[1], columns, keys.shape[3]),
            values.new_zeros(rows, values.shape[1], columns, values.shape[3]),
        )
        self.keys, self.values = self.kept
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True
        self.places = torch.empty(0, dtype=torch.long)
        self.used = columns

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Do nothing: all is allocated."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write one column a row, `[row, head, 1, dim]`; give all columns that are in use."""
        for kept, states in zip(self.kept, (key_states, value_states), strict=True):
            dim = states.shape[-1]
            kept.view(-1, dim).index_copy_(0, self.places, states.reshape(-1, dim))
        keys, values = self.kept
        return keys[:, :, : self.used], values[:, :, : self.used]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Give how many columns a mask has, and the first one's number."""
        return self.used, 0

    def get_seq_length(self) -> int:
        """Give the columns in use; a row's own length is its position."""
        return self.used

    def get_max_length(self) -> int:
        """Give the columns there are."""
        return self.kept[0].shape[2]

    def start(self, rows: Tensor, keys: Tensor, values: Tensor) -> None:
        """Give rows the columns of a prompt, `[row, head, column, dim]`, and zeros after them.

        Zeros, because masked columns are multiplied by 0, which does not silence a NaN that the
        row's last answer left.
        """
        for kept, read in zip(self.kept, (keys, values), strict=True):
            kept[rows] = torch.nn.functional.pad(read, (0, 0, 0, kept.shape[2] - read.shape[2]))


class RowCache(Cache):
    """The cache of all layers."""

    def __init__(self, read: States, rows: int, columns: int) -> None:
        """Allocate zeros.

        Args:
            read: Any prompt's states, for the number of layers, heads and dimensions.
            rows: How many answers are decoded together.
            columns: The longest that a prompt with its answer can be.
        """
        self.columns = round_up(columns, BLOCK_COLUMNS)
        self.rows = [RowLayer(keys, values, rows, self.columns) for keys, values in read]
        super().__init__(layers=list(self.rows))

    def move_to(self, positions: Tensor, used: int) -> None:
        """Say where the next token of each row goes, `[row]`, and how many columns are looked at.

        Args:
            positions: The column of each row.
            used: At least every row's position + 1.
        """
        places: dict[int, Tensor] = {}
        for layer in self.rows:
            heads = layer.kept[0].shape[1]
            if heads not in places:
                every = torch.arange(len(positions) * heads, device=positions.device)
                places[heads] = every * self.columns + positions.repeat_interleave(heads)
            layer.places, layer.used = places[heads], used

    def start(self, rows: Tensor, read: States, places: Tensor) -> None:
        """Give rows what was read of their prompts, or of what they go on with.

        Args:
            rows: `[new]`, the rows that begin.
            read: What was read.
            places: `[new]`, which row of `read` each takes.
        """
        for layer, (keys, values) in zip(self.rows, read, strict=True):
            layer.start(rows, keys[places], values[places])

    def copy_rows(self, rows: Tensor, used: int) -> States:
        """Copy the columns in use of some rows."""
        return [
            (keys[rows, :, :used], values[rows, :, :used])
            for keys, values in (layer.kept for layer in self.rows)
        ]

    def bytes_a_row(self) -> int:
        """Give what a copy of one row takes at most."""
        return sum(kept.nbytes // len(kept) for layer in self.rows for kept in layer.kept)
