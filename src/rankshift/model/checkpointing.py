"""Gradient checkpointing: a layer's activations are made again instead of kept."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer


def checkpoint_layers(model: PreTrainedModel) -> int:
    """Keep only the inputs of every decoder layer; give how many layers there are.

    transformers' own switch works in training mode alone, where a base's dropout is on.

    Source: Chen et al. 2016, arXiv:1604.06174.
    """
    layers = list_layers(model)
    for layer in layers:
        layer.forward = _recompute(layer.forward)
    return len(layers)


def list_layers(model: nn.Module) -> list[GradientCheckpointingLayer]:
    """List the decoder layers, in the model's order."""
    return [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]


def _recompute(forward: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(forward)
    def run(*args: Any, **options: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **options)
        # Nothing is drawn at random in a layer, so no generator's state needs to be kept.
        return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **options)

    return run
