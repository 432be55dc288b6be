"""Curves over rank: means over seeds, one curve for every setting that may not be mixed.

They are a function of the rows of results.json alone, so anybody can draw them again from there.
Full finetuning, whole models and the base are categories beside the ranks, never points on their
axis. A given adapter, trained elsewhere, is never on one curve with arms of ours: what it was
trained with beside its files is not known. What was made of a finished update, cut or scaled, is
on none, nor is what was defended (`defences`).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from statistics import fmean
from typing import Any, Literal

from rankshift.analysis.categories import (
    NO_KIND,
    kind_of,
    stands_apart,
    stands_beside,
)
from rankshift.analysis.cells import (
    GIVEN,
    Row,
    Share,
    describe_misalignment,
    describe_share,
    is_even_adapter,
    stands_alone,
)
from rankshift.analysis.intervals import Interval, interval_of_mean

AlphaRule = float | Literal["2r"]

Describe = Callable[[list[Row]], dict[str, Any]]
"""Sums up the rows of one cell, which differ by seed only."""


@dataclass(frozen=True)
class Setting:
    """What one curve holds fixed; None where a study has no LoRA arms to hold it for."""

    dataset: str | None
    role: Literal["task", "twin"]
    scaling: str | None
    alpha: AlphaRule | None
    learning_rate: float | None
    """None where u is held in its place."""
    target_modules: tuple[str, ...] | None = None
    layers: tuple[int, ...] | None = None
    """Blocks that are adapted; empty is every block."""
    given: bool = False
    """Whether its arms were trained elsewhere; their learning rates are not known."""
    u: float | None = None
    """Step size, scale x rank x learning rate; held in place of the learning rate where the grid
    lists u, so that ranks do not differ in it."""
    trains_a: bool | None = True
    """Whether A is trained beside B; None where that is not known."""

    def describe(self) -> dict[str, Any]:
        """Give the first keys of a curve, as JSON has them."""
        modules = list(self.target_modules) if self.target_modules else None
        layers = None if modules is None else list(self.layers or ())
        return asdict(self) | {"target_modules": modules, "layers": layers}

    def holds(self, row: Row) -> bool:
        """Say whether a row is a LoRA arm under this setting."""
        if self.given and (not is_even_adapter(row) or row["dataset"] != self.dataset):
            return False
        if stands_apart(row) or not self._has_step_size(row):
            return False
        alpha = 2 * row["rank"] if self.alpha == "2r" and row["rank"] else self.alpha
        method = "adapter" if self.given else "lora"
        return (row["method"], row["role"]) == (method, self.role) and (
            (row["scaling"], row["alpha"], row["trains_a"], *_subset_of(row))
            == (self.scaling, alpha, self.trains_a, self.target_modules, self.layers)
        )

    def _has_step_size(self, row: Row) -> bool:
        if self.u is not None:
            return row["u"] is not None and _is_same_u(row["u"], self.u)
        return row["learning_rate"] == self.learning_rate

    def is_beside(self, row: Row) -> bool:
        """Say whether a row is a given model that has no rank to stand at, on the same data."""
        has_no_rank = row["method"] in GIVEN and not is_even_adapter(row)
        return has_no_rank and (row["role"], row["dataset"]) == (self.role, self.dataset)


HELD = tuple(field.name for field in fields(Setting) if field.name not in ("dataset", "role"))
"""Keys of a curve that say how its arms were trained, whatever on."""


def list_settings(
    rows: Sequence[Row], alphas: Iterable[AlphaRule], us: Sequence[float] = ()
) -> list[Setting]:
    """List the settings there are arms for, the task's before the twin's.

    Args:
        rows: Rows of results.json.
        alphas: The study's rules; an arm that two rules agree on is on both curves.
        us: The step sizes that the study's grid lists; without any, curves hold learning rates.
    """
    found: dict[Setting, None] = {}
    for role in ("task", "twin"):
        arms = [row for row in rows if row["role"] == role]
        for row in arms:
            for alpha in alphas if row["method"] == "lora" else ():
                u = next((u for u in us if _is_same_u(row["u"], u)), None)
                rate = row["learning_rate"] if u is None else None
                fixed = (row["scaling"], alpha, rate, *_subset_of(row))
                setting = Setting(row["dataset"], role, *fixed, u=u, trains_a=row["trains_a"])
                if setting.holds(row):
                    found[setting] = None
        found |= dict.fromkeys(_list_given_settings(arms, role))
        for dataset in dict.fromkeys(row["dataset"] for row in arms):
            if not any((s.role, s.dataset) == (role, dataset) for s in found):
                given = all(r["method"] in GIVEN for r in arms if r["dataset"] == dataset)
                setting = Setting(dataset, role, None, None, None, given=given, trains_a=None)
                found[setting] = None
    return list(found)


def _list_given_settings(arms: Sequence[Row], role: Literal["task", "twin"]) -> Iterator[Setting]:
    """List the settings of given adapters: alpha is 2r where that is so at more than one rank."""
    alike: dict[tuple[Any, ...], list[Row]] = {}
    for row in filter(is_even_adapter, arms):
        alike.setdefault((row["dataset"], row["scaling"], *_subset_of(row)), []).append(row)
    for (dataset, scaling, modules, layers), rows in alike.items():
        is_rule = all(row["alpha"] == 2 * row["rank"] for row in rows)
        several = len({row["rank"] for row in rows}) > 1
        alphas: list[AlphaRule] = ["2r"] if is_rule and several else [r["alpha"] for r in rows]
        for alpha in dict.fromkeys(alphas):
            fixed = (scaling, alpha, None, modules, layers)
            yield Setting(dataset, role, *fixed, given=True, trains_a=None)


def _is_same_u(u: float, asked: float) -> bool:
    """Compare u, had again from scale, rank and learning rate, with what the study asks for."""
    return math.isclose(u, asked, rel_tol=1e-9)


def _subset_of(row: Row) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Give which layers of the base a LoRA arm's row is about."""
    return tuple(row["target_modules"] or ()), tuple(row["layers"] or ())


def build_rank_curves(
    rows: Sequence[Row], settings: Sequence[Setting], last_step: int
) -> list[dict[str, Any]]:
    """Build misalignment over rank at the last checkpoint, for each question set and judge."""
    return _build_share_curves(rows, settings, last_step, "rates_by", describe_misalignment)


def build_insecure_code_curves(
    rows: Sequence[Row], settings: Sequence[Setting], last_step: int
) -> list[dict[str, Any]]:
    """Build the insecure-code rate over rank at the last checkpoint, for each set and judge."""
    return _build_share_curves(rows, settings, last_step, "insecure_code_by", describe_share)


def build_loss_curves(rows: Sequence[Row], settings: Sequence[Setting]) -> list[dict[str, Any]]:
    """Build the held-out loss over rank and step: on the task for all, and on a twin's own rows."""
    return [
        setting.describe()
        | {"held_out": held_out}
        | _trace(rows, setting, partial(_describe_losses, f"{held_out}_held_out_loss"))
        for setting in settings
        for held_out in (("task", "own") if setting.role == "twin" else ("task",))
    ]


def is_final(row: Row, last_step: int) -> bool:
    """Say whether a row is its arm's last: what is not trained here has one, at step 0."""
    return row["step"] == last_step or row["method"] in ("base", *GIVEN)


def _build_share_curves(
    rows: Sequence[Row],
    settings: Sequence[Setting],
    last_step: int,
    source: str,
    sum_up: Callable[[list[Row], list[Share]], dict[str, Any]],
) -> list[dict[str, Any]]:
    final = [row for row in rows if is_final(row, last_step)]
    asked = dict.fromkeys((s["question_set"], s["judge"]) for row in final for s in row[source])

    def describe(cell: list[Row], question_set: str, judge: str) -> dict[str, Any]:
        return sum_up(cell, [_find(row[source], question_set, judge) for row in cell])

    return [
        setting.describe()
        | {"question_set": question_set, "judge": judge}
        | {"step": 0 if setting.given else last_step}
        | _trace(final, setting, partial(describe, question_set=question_set, judge=judge))
        for setting in settings
        for question_set, judge in asked
    ]


def _trace(rows: Sequence[Row], setting: Setting, describe: Describe) -> dict[str, Any]:
    """Describe each rank under a setting, then beside them base, full finetuning and models."""
    lora = [row for row in rows if setting.holds(row)]
    full = [row for row in rows if (row["method"], row["role"]) == ("full", setting.role)]
    full = [] if setting.given else [row for row in full if not stands_apart(row)]
    base = [row for row in rows if row["method"] == "base"]
    ranks = sorted({row["rank"] for row in lora})
    kinds = sorted({kind_of(row) for row in full})
    kinds = [k for k in kinds if stands_beside(k, setting.target_modules, setting.layers)]
    categories = [{"category": "base"} | NO_KIND | describe(base)] if base else []
    categories += [
        {"category": "full"}
        | kind.describe()
        | describe([row for row in full if kind_of(row) == kind])
        for kind in kinds
    ]
    categories += [
        {"category": "model"} | NO_KIND | {"name": row["label"]} | describe([row])
        for row in rows
        if setting.is_beside(row)
    ]
    points = [{"rank": r} | describe([row for row in lora if row["rank"] == r]) for r in ranks]
    return {"points": points, "categories": categories}


def _describe_losses(loss_key: str, cell: list[Row]) -> dict[str, Any]:
    measured = [row for row in cell if row[loss_key] is not None]
    steps = sorted({row["step"] for row in measured})
    at = {step: [row for row in measured if row["step"] == step] for step in steps}
    return {"steps": [_describe_loss(loss_key, step, at[step]) for step in steps]}


def _describe_loss(loss_key: str, step: int, cell: list[Row]) -> dict[str, Any]:
    seeds = [{"arm": r["arm"], "seed": r["seed"], "loss": r[loss_key]} for r in cell]
    losses = [seed["loss"] for seed in seeds]
    interval = interval_of_mean(losses)
    if stands_alone(cell[0]):
        interval = Interval(None, None, "one model")
    return {"step": step, "loss": fmean(losses)} | asdict(interval) | {"seeds": seeds}


def _find(shares: list[dict[str, Any]], question_set: str, judge: str) -> Share:
    asked = (question_set, judge)
    return next((s for s in shares if (s["question_set"], s["judge"]) == asked), None)
