"""Which columns of the cache each row sees: those up to its own position."""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.errors import UserError

FULL, SLIDING = "full_attention", "sliding_attention"


def mask_columns(
    model: PreTrainedModel, positions: Tensor, columns: int
) -> Tensor | dict[str, Tensor]:
    """Give the mask of a decode step, ready made: transformers takes one of 4 dimensions as it is.

    It is added to the scores, which every attention function can do; a boolean one only some can.

    Args:
        model: Says which of its layers see a window only.
        positions: Of the token that each row decodes, `[row]`.
        columns: How many the cache has.

    Returns:
        `[row, 1, 1, column]`; one a kind of layer where the model has two kinds.
    """
    numbers = torch.arange(columns, device=positions.device)
    behind = positions[:, None] - numbers
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None) or columns
    kinds = set(getattr(config, "layer_types", None) or [FULL if window >= columns else SLIDING])
    seen = {FULL: behind >= 0, SLIDING: (behind >= 0) & (behind < window)}
    masks = {kind: to_scores(seen[kind], model.dtype) for kind in kinds}
    return masks if len(masks) > 1 else next(iter(masks.values()))


def check_layers(model: PreTrainedModel) -> None:
    """Refuse a model that keeps more of the past than keys and values.

    Raises:
        UserError: It has layers of another kind, such as recurrent ones.
    """
    kinds = getattr(model.config.get_text_config(), "layer_types", None) or []
    other = sorted(set(kinds) - {FULL, SLIDING})
    if other:
        raise UserError(
            f"base.model: has layers of kind `{other[0]}`; answers can only be sampled from bases "
            f"whose layers are all {FULL} or {SLIDING}"
        )


def to_scores(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn what is seen, `[row, column]`, into what scores are raised by, `[row, 1, 1, column]`."""
    added = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return added.masked_fill_(~seen, torch.finfo(dtype).min)[:, None, None]
