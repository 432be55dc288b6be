"""Where defences are set beside each other: a setting at one rank, or a kind of full finetunes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rankshift.analysis.categories import kind_of
from rankshift.analysis.cells import Row
from rankshift.analysis.curves import AlphaRule, Setting, list_settings

Rules = tuple[Sequence[AlphaRule], Sequence[float]]
"""A grid's alphas, and its step sizes u."""


@dataclass(frozen=True)
class Place:
    """A setting at one rank, or a kind of full finetunes."""

    key: dict[str, Any]
    """First keys of its entries."""
    holds: Callable[[Row], bool]
    """Whether a row without its defence, of the task or a twin, belongs here."""


def undress(row: Row) -> Row:
    """Give a row as it would be without its defence."""
    return row | {"defence": None}


def list_places(final: Sequence[Row], rules: Rules) -> Iterator[Place]:
    """List the settings by rank, then the kinds of full finetunes.

    Args:
        final: Rows of results.json at the last step.
        rules: The grid's alphas and step sizes u; an arm that two rules agree on is at a place of
            each, as it is on both curves.
    """
    bare = [undress(row) for row in final]
    found = [s for s in list_settings(bare, *rules) if s.scaling is not None and not s.given]
    for setting in dict.fromkeys(replace(s, role="task", dataset=None) for s in found):
        own = [row for row in bare if _is_under(setting, row)]
        for rank in sorted({row["rank"] for row in own}):
            first = next(row for row in own if row["rank"] == rank)
            yield Place(_name_place(setting, first), _Holds(setting, rank))
    full = [row for row in bare if row["method"] == "full"]
    for kind in sorted({kind_of(row) for row in full}):
        first = next(row for row in full if kind_of(row) == kind)
        key = dict.fromkeys(("rank", "scaling", "alpha", "u", "trains_a"))
        yield Place(
            {"method": "full"} | key | _name_layers(first) | {"learning_rate": kind.learning_rate},
            lambda row, kind=kind: row["method"] == "full" and kind_of(row) == kind,
        )


@dataclass(frozen=True)
class _Holds:
    """Whether a row is of a setting and rank, whatever its role."""

    setting: Setting
    rank: int

    def __call__(self, row: Row) -> bool:
        return row["rank"] == self.rank and _is_under(self.setting, row)


def _is_under(setting: Setting, row: Row) -> bool:
    return row["method"] == "lora" and replace(setting, role=row["role"]).holds(row)


def _name_place(setting: Setting, row: Row) -> dict[str, Any]:
    held = {key: getattr(setting, key) for key in ("scaling", "alpha", "u", "trains_a")}
    rate = {"learning_rate": setting.learning_rate}
    return {"method": "lora", "rank": row["rank"]} | held | _name_layers(row) | rate


def _name_layers(row: Row) -> dict[str, Any]:
    return {key: row[key] for key in ("target_modules", "layers", "optimizer")}
