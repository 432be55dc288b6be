"""Rows as a plain loop would lay them out, for references written apart from `data.batches`."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rankshift.data.rendering import Rendered

PAD = 256


def pad_plainly(rows: Sequence[Rendered]) -> tuple[Tensor, Tensor]:
    """Pad rows on the right: token ids, and labels of which -100 carries no loss, `[row, seq]`."""
    token_ids = [torch.tensor(row.token_ids) for row in rows]
    labels = [
        ids.masked_fill(~torch.tensor(row.loss_mask), -100)
        for ids, row in zip(token_ids, rows, strict=True)
    ]
    return (
        pad_sequence(token_ids, batch_first=True, padding_value=PAD),
        pad_sequence(labels, batch_first=True, padding_value=-100),
    )


def make_row(token_ids: Sequence[int], loss_mask: Sequence[bool]) -> Rendered:
    """Make a row of tokens and what of them carries loss."""
    return Rendered(tuple(map(int, token_ids)), tuple(map(bool, loss_mask)), row=1)
