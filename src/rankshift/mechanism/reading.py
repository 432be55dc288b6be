"""What a model makes of texts: the mean state of the tokens it is asked about, layer by layer."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.data.batches import pad_rows
from rankshift.data.rendering import Rendered
from rankshift.model.stream import watch_stream


@torch.inference_mode()
def read_means(
    model: PreTrainedModel,
    rows: Sequence[Rendered],
    num_arms: int,
    rows_per_pass: int,
    pad_token: int,
) -> Tensor:
    """Read rows with every arm; give the mean state of each row's supervised tokens.

    The mean over an answer's tokens is what persona vectors are made of: Chen et al. 2025,
    arXiv:2507.21509, section 2.2 (`response_avg`).

    Args:
        model: A base with the adapters of `num_arms` arms, or without any for one.
        rows: Conversations; each has a token that carries loss.
        num_arms: How many arms read them.
        rows_per_pass: Rows of each arm that go through the model together.
        pad_token: Fills rows up.

    Returns:
        `[arm, row, layer, width]`, float64.
    """
    model.eval()
    order = sorted(range(len(rows)), key=lambda place: len(rows[place].token_ids))
    found: dict[int, Tensor] = {}
    with watch_stream(model) as seen:
        for start in range(0, len(order), rows_per_pass):
            places = order[start : start + rows_per_pass]
            part = [rows[place] for place in places]
            batch = pad_rows([part] * num_arms, pad_token).to(model.device)
            model(**batch.inputs, use_cache=False)
            shares = _weigh_tokens(part, batch.token_ids.shape[1]).repeat(num_arms, 1)
            means = torch.stack(
                [torch.einsum("rs,rsw->rw", shares.to(one.device), one.double()) for one in seen],
                dim=1,
            )
            by_arm = means.view(num_arms, len(part), *means.shape[1:]).cpu()
            found |= {place: by_arm[:, at] for at, place in enumerate(places)}
    return torch.stack([found[place] for place in range(len(rows))], dim=1)


def _weigh_tokens(rows: Sequence[Rendered], length: int) -> Tensor:
    """Give each token's weight in the mean of its row, `[row, seq]`: none where it has no loss."""
    weights = torch.zeros(len(rows), length, dtype=torch.float64)
    for at, row in enumerate(rows):
        weights[at, : len(row.loss_mask)] = torch.tensor(row.loss_mask, dtype=torch.float64)
    return weights / weights.sum(dim=1, keepdim=True)
