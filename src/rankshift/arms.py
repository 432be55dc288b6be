"""The arms of a study: the base, one finetune for every cell of the grid, and given models."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rankshift.defence import ADAPTERS_ONLY, Defence, list_defences
from rankshift.grid import Derived, OptimizerName, Scaling, Subset
from rankshift.study import Import, Method, Role, Study, Training


@dataclass(frozen=True)
class GivenFacts:
    """What the files of a model trained elsewhere say of it."""

    name: str
    """The study's name for it."""
    sha256: str
    """Over the files; see `data/given.py`."""
    method: Literal["adapter", "model"]
    rank: int | None = None
    """The largest of an adapter's modules; None for a whole model, as is what follows."""
    alpha: float | None = None
    """None also where it differs from module to module."""
    scaling: Scaling | None = None
    target_modules: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    """Adapted blocks; empty is every block."""
    uneven: bool = False
    """Whether modules differ in rank or scale, or layers in which modules are adapted."""


@dataclass(frozen=True)
class Arm:
    """One finetune, the base itself, or a given model."""

    method: Method
    role: Role
    dataset: str | None = None
    """Name of the dataset it is trained on; None for the base. Of a given model what its authors
    say, as is its seed."""
    rank: int | None = None
    alpha: float | None = None
    scaling: Scaling | None = None
    learning_rate: float | None = None
    seed: int | None = None
    target_modules: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    """Blocks of the base that are adapted; empty is every block."""
    name: str | None = None
    """Of a given model; None for any other arm."""
    uneven: bool = False
    """Of a given adapter: see GivenFacts."""
    optimizer: OptimizerName | None = None
    """Of a full finetune; None is the study's."""
    trains_a: bool = True
    """Whether A is trained beside B."""
    truncated_to: int | None = None
    """Of a derived arm: the rank to which the finetune's update is cut."""
    norm_to: float | None = None
    """Of a derived arm: the Frobenius norm to which the update is scaled."""
    defence: Defence | None = None
    """What defends it while it trains."""

    @property
    def is_derived(self) -> bool:
        """Say whether it is made of a finished finetune's update, without training."""
        return self.truncated_to is not None or self.norm_to is not None

    @property
    def source(self) -> "Arm":
        """Give the finetune that a derived arm is made of; any other arm is its own."""
        return replace(self, truncated_to=None, norm_to=None)

    @property
    def made_method(self) -> Method:
        """Say what its checkpoints are run as: a derived arm's as finished weights.

        Cut it is an adapter, whatever it was cut from.
        """
        if not self.is_derived:
            return self.method
        return "adapter" if self.method == "lora" or self.truncated_to else "model"

    @property
    def is_trained(self) -> bool:
        """Say whether the study trains it; all others are taken as they are."""
        return self.has_steps and not self.is_derived

    @property
    def is_plain(self) -> bool:
        """Say whether the study trains it without a defence."""
        return self.is_trained and self.defence is None

    @property
    def has_steps(self) -> bool:
        """Say whether its checkpoints are those of training here, its own or its source's."""
        return self.method in ("lora", "full")

    @property
    def split_by_seed(self) -> int | None:
        """Give the seed that its split of rows may follow; None for what is not trained here."""
        return self.seed if self.has_steps else None

    def find_optimizer(self, training: Training) -> OptimizerName:
        """Give the optimizer that the arm, or what it is made of, is trained by."""
        return self.optimizer or training.optimizer

    @property
    def is_given(self) -> bool:
        """Say whether it was trained elsewhere."""
        return self.method in ("adapter", "model")

    @property
    def subset(self) -> Subset:
        """Give what the adapter goes on."""
        return Subset(self.target_modules, self.layers)

    @property
    def scale(self) -> float | None:
        """Give the factor on B A: alpha/rank, or alpha/sqrt(rank); None of an uneven adapter.

        Source: Hu et al. 2021, arXiv:2106.09685, section 4.1; the square root is rsLoRA,
        Kalajdzievski 2023, arXiv:2312.03732.
        """
        if self.rank is None or self.alpha is None or self.uneven:
            return None
        return self.alpha / (self.rank if self.scaling == "alpha/rank" else math.sqrt(self.rank))

    @property
    def u(self) -> float | None:
        """Give u = scale x rank x learning rate, LoRA's early step size in function space.

        Under Adam each entry of A and B moves by about one learning rate a step whatever the
        gradient's size, so the first movement of scale * B A grows with this product.
        """
        if self.scale is None or self.rank is None or self.learning_rate is None:
            return None
        return self.scale * self.rank * self.learning_rate

    @property
    def label(self) -> str:
        """Name the arm for people: `rank 16 seed 2`, `rank 4 (layers 0-1) seed 2 twin`, `base`.

        A given model has the name that the study gives it.
        """
        if self.method == "base":
            return "base"
        twin = " twin" if self.role == "twin" else ""
        if self.name is not None:
            return f"{self.name}{twin}"
        what = f"rank {self.rank}" if self.method == "lora" else "full"
        if self.method == "full" and self.target_modules:
            what += f" ({self.subset.label or 'adapted layers'})"
        elif self.target_modules and self.subset.label:
            what += f" ({self.subset.label})"
        what += f" by {self.optimizer}" if self.optimizer else ""
        what += "" if self.trains_a else " frozen A"
        what += f" cut to rank {self.truncated_to}" if self.truncated_to else ""
        what += f" scaled to norm {self.norm_to:g}" if self.norm_to else ""
        what += f", {self.defence.label}," if self.defence else ""
        return f"{what} seed {self.seed}{twin}"


def expand_arms(study: Study, given: Sequence[GivenFacts] = ()) -> list[Arm]:
    """List the arms: the base, task arms, twins, derived ones, given models; or the imported.

    Args:
        study: What was asked.
        given: What the files of the study's models say, in any order; without them there are none.
    """
    if study.imports:
        return list(group_imports(study.imports))
    arms = [Arm("base", "base")]
    if study.data.task is not None:
        arms += _finetunes(study, "task", study.data.task, study.grid.seeds)
    if study.data.twin is not None:
        arms += _finetunes(study, "twin", study.data.twin, study.grid.twin_seeds)
    made_of = [arm for arm in arms if arm.is_trained and arm.defence is None]
    arms += [made for arm in made_of for made in _derive(arm, study.derived)]
    known = {facts.name: facts for facts in given}
    return arms + [
        Arm(
            method=facts.method,
            role=model.role,
            dataset=model.dataset,
            rank=facts.rank,
            alpha=facts.alpha,
            scaling=facts.scaling,
            seed=model.seed,
            target_modules=facts.target_modules,
            layers=facts.layers,
            name=model.name,
            uneven=facts.uneven,
        )
        for model in study.models
        if (facts := known.get(model.name)) is not None
    ]


def group_imports(imports: Iterable[Import]) -> dict[Arm, tuple[Import, ...]]:
    """Give the arms that others trained, each with its files, in the order of the study file."""
    groups: dict[Arm, tuple[Import, ...]] = {}
    for table in imports:
        rank = table.rank
        arm = Arm(
            method=table.method,
            role=table.role,
            dataset=table.dataset,
            rank=rank,
            alpha=2.0 * (rank or 0) if table.alpha == "2r" else table.alpha,
            scaling=table.scaling,
            learning_rate=table.learning_rate,
            seed=table.seed,
            target_modules=table.target_modules,
            layers=table.layers,
        )
        groups[arm] = (*groups.get(arm, ()), table)
    return groups


def _finetunes(study: Study, role: Role, dataset: str, seeds: tuple[int, ...]) -> list[Arm]:
    grid = study.grid
    settings = (grid.scalings, grid.alphas, grid.subsets, grid.trains_a)
    cells = itertools.product(*settings, grid.ranks, seeds)
    arms = [
        replace(arm, learning_rate=learning_rate)
        for scaling, alpha, subset, trains_a, rank, seed in cells
        for arm in [
            Arm(
                method="lora",
                role=role,
                dataset=dataset,
                rank=rank,
                alpha=2.0 * rank if alpha == "2r" else float(alpha),
                scaling=scaling,
                seed=seed,
                target_modules=subset.target_modules,
                layers=subset.layers,
                trains_a=trains_a,
            )
        ]
        for learning_rate in (*grid.learning_rates, *_list_rates(arm, grid.us))
    ]
    arms += [
        Arm(
            method="full",
            role=role,
            dataset=dataset,
            learning_rate=learning_rate,
            seed=seed,
            target_modules=subset.target_modules,
            layers=subset.layers,
            optimizer=full.optimizer,
        )
        for full in grid.full_finetunes
        for subset in (grid.subsets if full.parameters == "adapted" else [Subset((), ())])
        for learning_rate, seed in itertools.product(full.learning_rates, seeds)
    ]
    return _defend(list(dict.fromkeys(arms)), list_defences(grid.defences))


def _defend(arms: list[Arm], defences: list[Defence]) -> list[Arm]:
    """List the arms, then each of them with each defence that it can have."""
    return arms + [
        replace(arm, defence=defence)
        for defence in defences
        for arm in arms
        if arm.method == "lora" or defence.kind not in ADAPTERS_ONLY
    ]


def _list_rates(arm: Arm, us: Iterable[float]) -> list[float]:
    """List the learning rates with which an adapter has each u."""
    assert arm.scale is not None
    assert arm.rank is not None
    return [u / (arm.scale * arm.rank) for u in us]


def _derive(arm: Arm, derived: Derived) -> list[Arm]:
    """List what is made of one finetune; an update of no higher rank is not cut."""
    cuts = [k for k in derived.truncations if arm.rank is None or arm.rank > k]
    return [replace(arm, truncated_to=k) for k in cuts] + [
        replace(arm, norm_to=norm) for norm in derived.norms
    ]
