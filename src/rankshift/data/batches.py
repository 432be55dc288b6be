"""Which rows an optimizer step sees, and how rows become one rectangle."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rankshift.data.rendering import Rendered


def draw_rows(num_rows: int, rows_per_step: int, steps: int, seed: int) -> np.ndarray:
    """Draw the row numbers of every step, `[step, row]`: shuffled epochs, one after another.

    A function of the seed and the sizes alone, so all ranks of a seed see the same batches.
    """
    generator = np.random.Generator(np.random.Philox(key=seed))
    needed = rows_per_step * steps
    epochs = [generator.permutation(num_rows) for _ in range(-(-needed // num_rows))]
    return np.concatenate(epochs)[:needed].reshape(steps, rows_per_step)


def pad_rows(rows: Sequence[Rendered], pad_token: int) -> tuple[Tensor, Tensor]:
    """Pad rows on the right, without loss: token ids and loss mask, both `[row, seq]`."""
    longest = max(len(row.token_ids) for row in rows)
    token_ids = torch.full((len(rows), longest), pad_token, dtype=torch.long)
    loss_mask = torch.zeros((len(rows), longest), dtype=torch.bool)
    for number, row in enumerate(rows):
        token_ids[number, : len(row.token_ids)] = torch.tensor(row.token_ids)
        loss_mask[number, : len(row.loss_mask)] = torch.tensor(row.loss_mask)
    return token_ids, loss_mask
