"""An adapter in a copy of its base: a whole model, for an engine that cannot hold the two apart."""

from pathlib import Path

import torch

from rankshift.model.adapter_config import read_adapter_config
from rankshift.model.adapter_files import WEIGHTS
from rankshift.model.loading import load_model
from rankshift.model.tensor_files import read_tensors
from rankshift.model.updates import name_factor
from rankshift.train.trainee import write_model


@torch.no_grad()
def write_merged(adapter: Path, base: Path, folder: Path) -> None:
    """Write W + s B A in float32 for every adapted layer, and the rest of the base as it is.

    In bfloat16 the sum would lose what is smaller than a weight's last bit.

    Args:
        adapter: Directory of a PEFT adapter.
        base: Directory of its base.
        folder: Becomes a model's directory; without a tokenizer.

    Raises:
        UserError: The adapter is cut, or another base's.
    """
    model = load_model(base)
    config, tensors = read_adapter_config(adapter, model), read_tensors(adapter / WEIGHTS)
    for layer, (_, scale) in config.by_layer.items():
        A, B = (tensors[name_factor(layer, which)].double() for which in ("A", "B"))
        weight = model.get_submodule(layer).weight
        assert isinstance(weight, torch.Tensor)
        weight.copy_(weight.double() + scale * (B @ A))
    write_model(folder, model)
