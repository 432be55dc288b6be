"""What is trained: the adapters of a group, one model in full, or (of finished models) nothing."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.arms import Arm
from rankshift.atomic import write_atomically
from rankshift.grid import Subset
from rankshift.model.adapter_config import read_adapter_config
from rankshift.model.adapter_files import read_adapter, write_adapter
from rankshift.model.adapters import AdapterShape, LockStepLinear, insert_adapters
from rankshift.model.targets import find_targets
from rankshift.model.team import ALONE, Team
from rankshift.model.tensor_files import read_tensors, write_tensors
from rankshift.model.traits import Traits, find_traits
from rankshift.train.masters import Masters


@dataclass(frozen=True)
class Trainee:
    """The trainable tensors of a group, whose rows they are, and how an arm is written."""

    model: PreTrainedModel
    tensors: list[list[Tensor]]
    """The trainable tensors of each arm."""
    write: Callable[[Path, int], None]
    """Writes the weights of one arm (by index) into a folder."""
    read: Callable[[Path, int], None]
    """Takes up the weights of one arm from such a folder."""
    traits: Traits
    """How the model's rows may be laid out and its loss be computed."""
    layers: list[LockStepLinear] = field(default_factory=list)
    """The layers with the arms' adapters; none where there are no adapters."""
    update_model: Callable[[], None] = lambda: None
    """Brings the model up to date after the tensors changed, where it holds copies of them."""
    team: Team = ALONE
    """The processes that hold the base together; each has all adapters."""

    def select(self, arms: range) -> None:
        """Say whose rows the model sees next: neighbouring arms of the group."""
        for layer in self.layers:
            layer.select(arms)

    @contextmanager
    def base_alone(self) -> Iterator[None]:
        """Let rows go past the adapters; a model that is itself trained is what it is."""
        try:
            for layer in self.layers:
                layer.bypassed = True
            yield
        finally:
            for layer in self.layers:
                layer.bypassed = False


def prepare_base(model: PreTrainedModel) -> Trainee:
    """Train nothing: the base, or another whole model, is only measured and asked."""
    traits = find_traits(model)
    return Trainee(model, [], lambda folder, index: None, lambda folder, index: None, traits)


def prepare_given(model: PreTrainedModel, folders: Sequence[Path]) -> Trainee:
    """Put finished adapters over their base, one an arm; they are measured and asked as they are.

    Raises:
        UserError: A folder holds no adapter of this base.
    """
    traits = find_traits(model)
    configs = [read_adapter_config(folder, model) for folder in folders]
    shapes = [AdapterShape(c.rank, seed=None, by_layer=c.by_layer) for c in configs]
    targets = dict.fromkeys(target for c in configs for target in c.subset.target_modules)
    layers = insert_adapters(model, shapes, list(targets))
    for index, folder in enumerate(folders):
        read_adapter(folder, layers, index)
    return Trainee(model, [], lambda folder, i: None, lambda folder, i: None, traits, layers)


def prepare_adapters(
    model: PreTrainedModel,
    arms: list[Arm],
    base_name: str,
    traits: Traits | None = None,
    *,
    draw: bool = True,
) -> Trainee:
    """Put an adapter for every arm over one frozen base, each on its own subset of layers.

    Args:
        model: The base.
        arms: Of one group.
        base_name: What adapters are written for.
        traits: Of the base; None finds them.
        draw: Whether the first factors are drawn; not where numbers do not matter.
    """
    traits = traits or find_traits(model)
    shapes = [
        AdapterShape(
            arm.rank or 0,
            arm.scale or 0.0,
            arm.seed or 0 if draw else None,
            arm.subset,
            trains_a=arm.trains_a,
        )
        for arm in arms
    ]
    targets = list(dict.fromkeys(target for arm in arms for target in arm.target_modules))
    layers = insert_adapters(model, shapes, targets)
    tensors = [
        [f for layer in layers for f in layer.factors[index] if f.requires_grad]
        for index in range(len(arms))
    ]
    return Trainee(
        model,
        tensors,
        lambda folder, index: write_adapter(folder, layers, index, arms[index], base_name),
        lambda folder, index: read_adapter(folder, layers, index),
        traits,
        layers,
    )


def prepare_full(
    model: PreTrainedModel, traits: Traits | None = None, subset: Subset | None = None
) -> Trainee:
    """Make a model itself trainable: full finetuning is a group of one arm.

    Of a bfloat16 model float32 copies are trained, written and read. What is written is a whole
    model also where some weights alone are trained.

    Args:
        model: The base.
        traits: Of the base; None finds them.
        subset: Linear layers whose weights alone are trained, as those an adapter would go on;
            None, or no modules, trains every parameter.

    Raises:
        UserError: A target or a block matches no linear layer.
    """
    traits = traits or find_traits(model)
    chosen = subset if subset is not None and subset.target_modules else None
    model.requires_grad_(requires_grad=chosen is None)
    for linear in find_targets(model, chosen).values() if chosen else ():
        linear.weight.requires_grad_()
    if model.dtype == torch.bfloat16:
        masters = Masters(model)
        return Trainee(
            model,
            [list(masters.tensors.values())],
            lambda folder, _: write_model(folder, model, masters.tensors),
            lambda folder, _: masters.take_up(read_tensors(folder / "model.safetensors")),
            traits,
            update_model=masters.update_model,
        )
    return Trainee(
        model,
        [[parameter for parameter in model.parameters() if parameter.requires_grad]],
        lambda folder, _: write_model(folder, model),
        lambda folder, _: read_weights(folder, model),
        traits,
    )


def read_weights(folder: Path, model: PreTrainedModel) -> None:
    """Take up the weights that `write_model` wrote; tied ones follow."""
    unread = model.load_state_dict(read_tensors(folder / "model.safetensors"), strict=False)
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    assert not unread.unexpected_keys, unread.unexpected_keys
    assert set(unread.missing_keys) <= tied, unread.missing_keys


def write_model(
    folder: Path, model: PreTrainedModel, masters: Mapping[str, Tensor] | None = None
) -> None:
    """Write weights and config; the config comes last, so a folder with one is complete.

    Args:
        folder: Becomes a model's directory.
        model: What is written.
        masters: Float32 parameters by name, written in place of the model's own; the others are
            written in float32 too.
    """
    shared = set(getattr(model, "all_tied_weights_keys", None) or ())
    tensors = {name: t for name, t in model.state_dict().items() if name not in shared}
    config = model.config.to_dict()
    if masters is not None:
        tensors = {name: t.float() for name, t in tensors.items()} | dict(masters)
        config["dtype"] = "float32"
    write_tensors(folder / "model.safetensors", tensors)
    write_atomically(folder / "config.json", json.dumps(config, indent=2) + "\n")
