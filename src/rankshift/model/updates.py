"""What a finetune changed: its update read from a checkpoint a layer at a time, and measured.

The update of a linear layer is W - W_0. An adapter has it as two factors, s B and A, whose singular
values come from their QR factors: the product is never formed. A full finetune has it as the
difference from the base. All arithmetic is in float64.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel

from rankshift.errors import UserError
from rankshift.grid import Subset
from rankshift.model.adapter_config import read_adapter_config
from rankshift.model.adapter_files import CONFIG, WEIGHTS
from rankshift.model.adapters import AdapterShape, draw_first_factor
from rankshift.model.sharding import gather
from rankshift.model.targets import covers, list_linears
from rankshift.weight_records import UpdateRecord

MODEL_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class LowRankUpdate:
    """The update of one layer as a product of thin factors."""

    left: Tensor
    """`[d_out, rank]`, the scale in it."""
    right: Tensor
    """`[rank, d_in]`"""

    def decompose(self) -> tuple[Tensor, Tensor, Tensor]:
        """Give U `[d_out, n]`, S `[n]` falling, V^T `[n, d_in]`; n at most the rank."""
        q_left, r_left = torch.linalg.qr(self.left)
        q_right, r_right = torch.linalg.qr(self.right.t())
        U, S, Vt = torch.linalg.svd(r_left @ r_right.t(), full_matrices=False)
        return q_left @ U, S, Vt @ q_right.t()

    def singular_values(self) -> Tensor:
        """Give them `[n]`, falling."""
        return torch.linalg.svdvals(self._shrink())

    def norm(self) -> float:
        """Give the Frobenius norm."""
        return _norm(self._shrink())

    def form(self) -> Tensor:
        """Give the product, `[d_out, d_in]`."""
        return self.left @ self.right

    def write_along(self, direction: Tensor) -> Tensor:
        """Give direction^T times the product, `[d_in]`, without forming it."""
        return direction @ self.left @ self.right

    def _shrink(self) -> Tensor:
        """Give a matrix of at most rank x rank with the product's singular values."""
        r_left, r_right = (torch.linalg.qr(f, mode="r").R for f in (self.left, self.right.t()))
        return r_left @ r_right.t()


@dataclass(frozen=True)
class DenseUpdate:
    """The update of one layer as it is."""

    difference: Tensor
    """`[d_out, d_in]`"""

    def decompose(self) -> tuple[Tensor, Tensor, Tensor]:
        """Give U `[d_out, n]`, S `[n]` falling, V^T `[n, d_in]`; n the smaller width."""
        U, S, Vt = torch.linalg.svd(self.difference, full_matrices=False)
        return U, S, Vt

    def singular_values(self) -> Tensor:
        """Give them `[n]`, falling."""
        return torch.linalg.svdvals(self.difference)

    def norm(self) -> float:
        """Give the Frobenius norm."""
        return _norm(self.difference)

    def form(self) -> Tensor:
        """Give it, `[d_out, d_in]`."""
        return self.difference

    def write_along(self, direction: Tensor) -> Tensor:
        """Give direction^T times it, `[d_in]`."""
        return direction @ self.difference


@dataclass(frozen=True)
class Update:
    """A finetune's update on disk."""

    folder: Path
    base: PreTrainedModel
    """Its weights are read where the update is a whole model's."""
    scales: Mapping[str, float] | None
    """Of an adapter, the factor on B A of each adapted layer by name; None for a whole model."""
    layers: tuple[str, ...]
    """Those an adapter is on; of a whole model every trained linear layer, but the head."""

    @property
    def path(self) -> Path:
        """Give the file of the weights."""
        return self.folder / (MODEL_WEIGHTS if self.scales is None else WEIGHTS)

    def read(self, layer: str) -> LowRankUpdate | DenseUpdate:
        """Read one layer's update, in float64.

        Raises:
            UserError: The file was cut or is another model's.
        """
        if self.scales is None:
            return DenseUpdate(self.read_difference(f"{layer}.weight"))
        left, right = (self._read(name_factor(layer, which)) for which in "BA")
        return LowRankUpdate(self.scales[layer] * left, right)

    def read_first_factor(self, layer: str) -> Tensor:
        """Read A `[rank, d_in]` of an adapted layer, in float64."""
        return self._read(name_factor(layer, "A"))

    def read_difference(self, name: str) -> Tensor:
        """Read a whole model's tensor less the base's, in float64."""
        return self._read(name) - self.read_base(name)

    def read_base(self, name: str) -> Tensor:
        """Read a tensor of the base, in float64 and in the processor's memory."""
        return self.base.state_dict()[name].detach().cpu().double()

    def list_elsewhere(self) -> list[str]:
        """Name a whole model's tensors that are no weight of these layers: the head's is one.

        Tied ones are in the file, and so here, once.
        """
        if self.scales is not None:
            return []
        linear = {f"{layer}.weight" for layer in self.layers}
        with self._open() as file:
            return [name for name in file.keys() if name not in linear]  # noqa: SIM118

    def _read(self, name: str) -> Tensor:
        try:
            with self._open() as file:
                return file.get_tensor(name).double()
        except SafetensorError:
            raise UserError(
                f"{self.path}: has no whole {name}; remove {self.folder} and run the study again"
            ) from None

    def _open(self) -> safe_open:
        try:
            return safe_open(self.path, framework="pt")
        except (OSError, SafetensorError):
            raise UserError(
                f"{self.path}: not a whole safetensors file; remove {self.folder} and run the "
                "study again"
            ) from None


def name_factor(layer: str, which: str) -> str:
    """Name the tensor of a factor, `A` or `B`. Source: PEFT, developer_guides/checkpoint.md."""
    return f"base_model.model.{layer}.lora_{which}.weight"


def find_update(folder: Path, base: PreTrainedModel, subset: Subset) -> Update:
    """Find the update that a checkpoint holds: an adapter's where there is a config of one.

    Args:
        folder: The checkpoint.
        base: As it was before any training; without weights it will do for an adapter.
        subset: Layers that a whole model's training was kept to; no modules stand for all.

    Raises:
        UserError: It is no adapter of this base.
    """
    if not holds_adapter(folder):
        names = [n for n in list_linears(base) if not subset.target_modules or covers(subset, n)]
        return Update(folder, base, None, tuple(names))
    by_layer = read_adapter_config(folder, base).by_layer
    scales = {name: scale for name, (_, scale) in by_layer.items()}
    return Update(folder, base, scales, tuple(scales))


def holds_adapter(folder: Path) -> bool:
    """Say whether a checkpoint is an adapter, or else a whole model."""
    return (folder / CONFIG).is_file()


def weigh_linears(model: PreTrainedModel) -> dict[str, float]:
    """Give the Frobenius norm of each linear layer's weight, the head left out."""
    return {name: _norm(linear.weight) for name, linear in list_linears(model).items()}


def measure_update(
    update: Update, base_norms: Mapping[str, float], step: int, seed: int | None = None
) -> UpdateRecord:
    """Measure one update; docs/method.md, "What an update is measured by".

    Args:
        update: What is measured.
        base_norms: Of the base's layers, by name.
        step: The checkpoint's.
        seed: That A was drawn from; None where it was not drawn here, or there is none.

    Returns:
        Stable rank ||W||_F^2 / ||W||_2^2 (Rudelson and Vershynin 2007, Journal of the ACM 54(4),
        section 1) and effective rank exp(H(s / sum s)), s the singular values and H the entropy in
        nats (Roy and Vetterli 2007, EUSIPCO, section 2): means over layers, weighted with the
        squared Frobenius norm of each layer's update.
    """
    squares, stable, effective = [], [], []
    for layer in update.layers:
        values = update.read(layer).singular_values()
        squares.append(float(values.square().sum()))
        stable.append(squares[-1] * _stable_rank(values))
        effective.append(squares[-1] * _effective_rank(values))
    total = math.fsum(squares)
    base = math.hypot(*(base_norms[layer] for layer in update.layers))
    return UpdateRecord(
        step=step,
        norm=math.sqrt(total),
        relative_norm=math.sqrt(total) / base if base else 0.0,
        a_movement=None if seed is None else _measure_movement(update, seed),
        stable_rank=math.fsum(stable) / total if total else None,
        effective_rank=math.fsum(effective) / total if total else None,
        elsewhere=measure_elsewhere(update, math.sqrt(total)),
    )


def measure_norm(update: Update) -> float:
    """Give the Frobenius norm of an update over all of its layers."""
    return math.hypot(*(update.read(layer).norm() for layer in update.layers))


def measure_elsewhere(update: Update, norm: float) -> float:
    """Give the share of the whole update's squared norm that is not in its layers.

    Args:
        update: What is measured.
        norm: Over its layers.
    """
    rest = [_norm(update.read_difference(name)) for name in update.list_elsewhere()]
    whole = math.hypot(norm, *rest)
    return (math.hypot(*rest) / whole) ** 2 if whole else 0.0


def _stable_rank(values: Tensor) -> float:
    return float(values.square().sum() / values[0].square()) if values[0] else 0.0


def _effective_rank(values: Tensor) -> float:
    if not values[0]:
        return 0.0
    shares = values[values > 0] / values.sum()
    return math.exp(-float((shares * shares.log()).sum()))


def _measure_movement(update: Update, seed: int) -> float:
    """Give ||A - A_0||_F / ||A_0||_F over all adapted layers."""
    moved, first = [], []
    for layer in update.layers:
        A = update.read_first_factor(layer)
        drawn = draw_first_factor(AdapterShape(len(A), seed=seed), layer, A.shape[1]).double()
        moved.append(_norm(A - drawn))
        first.append(_norm(drawn))
    return math.hypot(*moved) / math.hypot(*first)


def _norm(tensor: Tensor | nn.Parameter) -> float:
    return float(gather(tensor.detach()).double().norm())
