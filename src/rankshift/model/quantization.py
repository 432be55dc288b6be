"""A frozen base in 4 bits: the weights of its linear layers as NF4, read back where they are used.

bitsandbytes is imported where it is needed, so that everything else works without it.
"""

import logging
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from rankshift.errors import UserError

BLOCK_WEIGHTS = 64
"""Weights that share one scale. Source: Dettmers et al. 2023, arXiv:2305.14314, section 3."""


class Nf4Linear(nn.Module):
    """A frozen linear layer of 4-bit weights, each block's scale in 8 bits.

    Its product is that of its weights in the base's type, whatever the number of rows: a kernel
    that reads the 4 bits itself is used for single rows alone, and would give those other bits.

    Source: QLoRA, NF4 with double quantization; Dettmers et al. 2023, arXiv:2305.14314, section 3.
    """

    packed: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        packed, self.state = load_bitsandbytes().functional.quantize_4bit(
            linear.weight.detach().contiguous(),
            blocksize=BLOCK_WEIGHTS,
            compress_statistics=True,
            quant_type="nf4",
        )
        self.register_buffer("packed", packed, persistent=False)
        self.bias = linear.bias

    @property
    def weight(self) -> Tensor:
        """Give the weights `[d_out, d_in]` in the base's type: made anew at every reading."""
        return load_bitsandbytes().functional.dequantize_4bit(self.packed, self.state)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Move the scales too when the model is moved to another device."""
        moved = super()._apply(fn, recurse)
        self.state.to(self.packed.device)
        return moved

    def forward(self, x: Tensor) -> Tensor:
        """Take `[..., d_in]`; give `[..., d_out]`."""
        return nn.functional.linear(x, self.weight, self.bias)


def quantize_to_nf4(model: PreTrainedModel) -> None:
    """Exchange every linear layer of a model but its output head for one of 4-bit weights.

    Raises:
        UserError: bitsandbytes is not installed.
    """
    head = model.get_output_embeddings()
    linears = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }
    for name, linear in linears.items():
        model.set_submodule(name, Nf4Linear(linear).requires_grad_(requires_grad=False))


def load_bitsandbytes() -> Any:
    """Import bitsandbytes.

    Raises:
        UserError: It is not installed.
    """
    # It warns when an optional kernel of its own is missing, which is not used here.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        import bitsandbytes
    except ImportError:
        raise UserError(
            'base.quantization = "nf4" and training.optimizer = "adamw_8bit" need bitsandbytes, '
            'which is not installed; install it: pip install "rankshift[quantized]"'
        ) from None
    return bitsandbytes
