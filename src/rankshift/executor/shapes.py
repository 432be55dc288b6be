"""How large a base is, found from its configuration alone: no weights, no download."""

import json
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache, partial
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from rankshift.arms import Arm
from rankshift.errors import UserError
from rankshift.model.loading import build_untrained, load_skeleton
from rankshift.model.operations import Widths
from rankshift.model.targets import list_linears
from rankshift.model.traits import guess_traits
from rankshift.study import Training
from rankshift.train.memory import Memory, Work, estimate_memory

LAYERS_TRIED = (4, 5)
"""Memory is estimated at so many layers: each further one adds what the fifth adds. With one or two
the peak lies elsewhere in a step, for then fewer layers are kept than one takes when it is computed
again."""


@dataclass(frozen=True)
class Shape:
    """A base of which only the configuration is known."""

    config: tuple[tuple[str, Any], ...]
    """Key and value of config.json, as JSON texts, so that the shape can be hashed."""

    @property
    def layers(self) -> int:
        """Count its blocks."""
        return int(json.loads(dict(self.config)["num_hidden_layers"]))

    @cached_property
    def linears(self) -> dict[str, Widths]:
        """Give K and N of its linear layers by name, the head aside."""
        found = list_linears(_build(self, self.layers, load_skeleton))
        return {name: (one.in_features, one.out_features) for name, one in found.items()}

    @cached_property
    def parameters(self) -> int:
        """Count all of its parameters."""
        model = _build(self, self.layers, load_skeleton)
        return sum(parameter.numel() for parameter in model.parameters())

    @cached_property
    def head(self) -> Widths:
        """Give K and N of its output head."""
        model = _build(self, 1, load_skeleton)
        head = model.get_output_embeddings()
        return (head.in_features, head.out_features)


def find_shape(model: str) -> Shape:
    """Find the shape of a base: of the table, or of a directory that holds a config.json.

    Raises:
        UserError: It is neither.
    """
    text = (resources.files("rankshift.executor") / "shapes.toml").read_text(encoding="utf-8")
    known = tomllib.loads(text)
    if model in known:
        return _make_shape(known[model])
    path = Path(model) / "config.json"
    if not path.is_file():
        raise UserError(
            f"base.model = {model!r}: its shape is not known here; give a directory that holds its "
            f"config.json, or one of {', '.join(known)}"
        )
    return _make_shape(json.loads(path.read_text(encoding="utf-8")))


def _make_shape(config: dict[str, Any]) -> Shape:
    return Shape(tuple((name, json.dumps(value)) for name, value in sorted(config.items())))


def _build(shape: Shape, layers: int, build: Any) -> Any:
    config = {name: json.loads(value) for name, value in shape.config}
    with tempfile.TemporaryDirectory() as folder:
        text = json.dumps(config | {"num_hidden_layers": layers})
        (Path(folder) / "config.json").write_text(text, encoding="utf-8")
        return build(Path(folder))


@lru_cache
def find_memory(
    shape: Shape, arm: Arm, training: Training, lengths: Sequence[int], layers: int | None = None
) -> Memory:
    """Find what an arm alone takes when it trains, its layers computed again.

    Args:
        shape: The base's.
        arm: Trained, on every layer.
        training: The recipe.
        lengths: Tokens of the rows of the largest micro-batch.
        layers: Of the base; None takes its own.
    """
    few, more = (_try(shape, arm, training, lengths, count) for count in LAYERS_TRIED)
    further = (layers or shape.layers) - LAYERS_TRIED[0]
    more, few = asdict(more), asdict(few)
    return Memory(**{part: few[part] + further * (more[part] - few[part]) for part in few})


def _try(shape: Shape, arm: Arm, training: Training, lengths: Sequence[int], layers: int) -> Memory:
    build = partial(_build, shape, layers)
    traits = guess_traits(build(load_skeleton).config)
    work = Work(tuple(lengths), 1, traits, True, arm.find_optimizer(training))
    dtype = getattr(torch, training.dtype)
    return estimate_memory(lambda: build(lambda path: build_untrained(path, dtype)), [arm], work)
