"""Load a base or a full finetune from a directory, with nothing but safetensors."""

import json
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
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

STRANGE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    ImportError,
    SafetensorError,
    StrictDataclassError,
)
"""What transformers raises for a directory whose files are malformed, or made to be."""

NO_TOKENIZER = "has no tokenizer that can be loaded"
MOST_LAYERS = 4096
"""Eight times those of the deepest model that we know of."""
LONGEST_REASON = 200
"""Characters of what a library said: a malformed file may be repeated in it."""
AGAIN = "put the tokenizer of its base there again"


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
    except STRANGE as error:
        raise UserError(
            f"{directory}: cannot be loaded as a causal language model: {_first_line(error)}; "
            "get its files again"
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
    _check_layers(directory)
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
    except STRANGE as error:
        raise UserError(
            f"{directory}: not a causal language model: {_first_line(error)}; get its config.json "
            "again"
        ) from error


def _check_layers(directory: Path) -> None:
    """Refuse a config with more layers than any model has: each is an object that takes memory."""
    path = directory / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise UserError(f"{path}: not a JSON file that can be read; get the model again") from None
    if not isinstance(config, dict):
        raise UserError(f"{path}: holds no table of settings; get the model again")
    for key, value in config.items():
        number = value.get("num_hidden_layers") if isinstance(value, dict) else value
        counts = isinstance(value, dict) or "layer" in key
        if counts and isinstance(number, int) and number > MOST_LAYERS:
            raise UserError(
                f"{path}: {key} is {number:,}, more than the {MOST_LAYERS:,} layers that are "
                "built; get the model again"
            )


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
    except STRANGE as error:
        raise UserError(f"{directory}: {NO_TOKENIZER}: {_first_line(error)}; {AGAIN}") from error
    except Exception as error:
        # The Rust library raises the bare class for a file that it cannot read, and no other.
        if type(error) is not Exception:
            raise
        raise UserError(f"{directory}: {NO_TOKENIZER}: {_first_line(error)}; {AGAIN}") from error


def padding_token(tokenizer: Tokenizer) -> int:
    """Give the token that fills rows up; masked everywhere, so any will do where there is none."""
    token = tokenizer.pad_token_id
    return token if isinstance(token, int) else 0


def _first_line(error: Exception) -> str:
    said = " ".join(str(error).strip().partition("\n")[0].split())[:LONGEST_REASON]
    return said or type(error).__name__
