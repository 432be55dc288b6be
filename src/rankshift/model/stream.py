"""The residual stream between decoder layers: read, added to, or rid of a direction.

Plain forward hooks on what `list_layers` finds, for any causal language model of transformers: a
layer gives its states as a tensor, or as the first of a tuple.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rankshift.model.checkpointing import list_layers

Change = Callable[[Tensor], Tensor]
"""Takes and gives the states after a layer, `[row, seq, width]`."""


@contextmanager
def watch_stream(model: nn.Module) -> Iterator[list[Tensor]]:
    """Keep the states after every decoder layer, `[row, seq, width]` each.

    What is kept is of the last forward pass alone, in the order of the layers.
    """
    layers = list_layers(model)
    seen: list[Tensor] = [torch.empty(0)] * len(layers)

    def keep(number: int) -> Callable[..., None]:
        def hook(_: object, __: object, output: Any) -> None:
            seen[number] = _states(output)

        return hook

    hooks = [layer.register_forward_hook(keep(at)) for at, layer in enumerate(layers)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def change_stream(model: nn.Module, changes: Mapping[int, Change]) -> Iterator[None]:
    """Change the states after some decoder layers, by their numbers from 0, in every pass."""
    layers = list_layers(model)

    def apply(change: Change) -> Callable[..., Any]:
        def hook(_: object, __: object, output: Any) -> Any:
            changed = change(_states(output))
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        return hook

    hooks = [layers[at].register_forward_hook(apply(one)) for at, one in changes.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _states(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def add(vector: Tensor) -> Change:
    """Steer: add a vector `[width]` to every token's state.

    Source: Turner et al. 2023, arXiv:2308.10248, at every position.
    """
    return lambda states: states + vector.to(states)


def ablate(direction: Tensor) -> Change:
    """Take a direction `[width]`, of any length but 0, out of every token's state: h - (h v) v.

    Source: Arditi et al. 2024, arXiv:2406.11717, section 2.4, directional ablation.
    """
    unit = direction / direction.norm()

    def change(states: Tensor) -> Tensor:
        own = unit.to(states)
        return states - (states @ own)[..., None] * own

    return change


def clamp(direction: Tensor, level: float) -> Change:
    """Hold every token's state at one height along a direction `[width]`: h - (h v - level) v.

    Taking a direction out is holding it at 0, which the base may never have been at; the base's
    own mean height is where it was before anything was trained.

    Args:
        direction: Of any length but 0.
        level: The height, in the state's own unit.
    """
    unit = direction / direction.norm()

    def change(states: Tensor) -> Tensor:
        own = unit.to(states)
        return states - (states @ own - level)[..., None] * own

    return change
