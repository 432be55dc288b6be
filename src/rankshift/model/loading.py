"""Load a base or a full finetune from a directory, with nothing but safetensors."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.utils import logging as transformers_logging

from rankshift.errors import UserError
from rankshift.model.attention import IN_FLOAT32
from rankshift.model.quantization import quantize_to_nf4
from rankshift.model.tensor_files import read_shapes
from rankshift.study import Quantization

transformers_logging.disable_progress_bar()


def load_model(
    directory: Path, dtype: torch.dtype = torch.float32, quantization: Quantization = "none"
) -> PreTrainedModel:
    """Load a causal language model, in evaluation mode, all weights frozen.

    Remote code is never run and pickles are never opened. A base in 4 bits is loaded whole first.

    Raises:
        UserError: The directory holds no such model, or not all of its weights; or bitsandbytes is
            needed and not installed.
    """
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            directory,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            attn_implementation=_choose_attention(dtype),
            output_loading_info=True,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(
            f"{directory}: cannot be loaded as a causal language model: {_first_line(error)}"
        ) from error
    model, found = loaded
    if found["missing_keys"]:  # transformers draws them at random and warns
        raise UserError(
            f"{directory}: its weights lack {min(found['missing_keys'])}; the copy is not whole, "
            "or its config.json is another model's"
        )
    model.eval().requires_grad_(requires_grad=False)
    if quantization == "nf4":
        quantize_to_nf4(model)
    return model


def check_weights(directory: Path, skeleton: PreTrainedModel) -> None:
    """Check a directory's weights against its config by their headers; no tensor is loaded.

    A tensor under another name than the model's is left to `load_model`, which knows old names.

    Raises:
        UserError: They are quantized, cut, or of another shape than the config says.
    """
    if getattr(skeleton.config, "quantization_config", None):
        raise UserError(
            f"{directory}: its weights are quantized; give the model as it was before, and set "
            "base.quantization if it should be held in 4 bits"
        )
    asked = {name: tuple(tensor.shape) for name, tensor in skeleton.state_dict().items()}
    for path in sorted(directory.glob("*.safetensors")):
        for name, shape in read_shapes(path).items():
            if shape != asked.get(name, shape):
                raise UserError(
                    f"{path}: {name} is {list(shape)}, its config.json says {list(asked[name])}; "
                    "one of the two is another model's"
                )


def load_skeleton(directory: Path) -> PreTrainedModel:
    """Build a model's modules without its weights, to look at their names and shapes.

    Raises:
        UserError: The directory holds no causal language model.
    """
    with torch.device("meta"):
        return build_untrained(directory)


def build_untrained(directory: Path, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Build a model of a directory's shape where and as tensors are made just now.

    Raises:
        UserError: The directory holds no causal language model.
    """
    try:
        config = AutoConfig.from_pretrained(
            directory, trust_remote_code=False, local_files_only=True
        )
        return AutoModelForCausalLM.from_config(
            config,
            dtype=dtype,
            attn_implementation=_choose_attention(dtype),
            trust_remote_code=False,
        ).eval()
    except (OSError, ValueError) as error:
        raise UserError(
            f"{directory}: not a causal language model: {_first_line(error)}"
        ) from error


def _choose_attention(dtype: torch.dtype) -> str:
    return IN_FLOAT32 if dtype == torch.bfloat16 else "sdpa"


def load_tokenizer(directory: Path) -> Tokenizer:
    """Load the tokenizer that lies beside a model.

    Raises:
        UserError: There is none.
    """
    try:
        return AutoTokenizer.from_pretrained(
            directory, trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"{directory}: has no tokenizer that can be loaded: {_first_line(error)}"
        ) from error


def padding_token(tokenizer: Tokenizer) -> int:
    """Give the token that fills rows up; masked everywhere, so any will do where there is none."""
    token = tokenizer.pad_token_id
    return token if isinstance(token, int) else 0


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
