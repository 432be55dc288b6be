"""Kinds of full finetunes: what stands beside the ranks, and may not be averaged over."""

from typing import Any, NamedTuple

Row = dict[str, Any]
"""One arm at one step, as in `arms` of results.json."""

NO_KIND: dict[str, Any] = dict.fromkeys(("learning_rate", "optimizer", "parameters"))
"""What a category says of how it was trained where it is the base or was trained elsewhere."""


class FullKind(NamedTuple):
    """What the full finetunes of one category have in common; they sort as the page has them."""

    is_adapted: bool
    """Whether the weights of chosen layers alone are trained: those adapters would go on."""
    optimizer: str
    """Empty where it is not told, as of what was imported."""
    learning_rate: float
    target_modules: tuple[str, ...]
    """Which layers, where they are chosen."""
    layers: tuple[int, ...]

    def describe(self) -> dict[str, Any]:
        """Give the keys of a category, as JSON has them."""
        kind: dict[str, Any] = {
            "learning_rate": self.learning_rate,
            "optimizer": self.optimizer or None,
            "parameters": "adapted" if self.is_adapted else "all",
        }
        if self.is_adapted:
            kind |= {"target_modules": list(self.target_modules), "layers": list(self.layers)}
        return kind


def kind_of(row: Row) -> FullKind:
    """Give the kind of a full finetune's row."""
    return FullKind(
        row["target_modules"] is not None,
        row["optimizer"] or "",
        row["learning_rate"],
        tuple(row["target_modules"] or ()),
        tuple(row["layers"] or ()),
    )


def stands_beside(
    kind: FullKind, modules: tuple[str, ...] | None, layers: tuple[int, ...] | None
) -> bool:
    """Say whether a kind belongs beside a curve: all parameters always, or the curve's own layers.

    Args:
        kind: Of a full finetune.
        modules: What the curve's adapters go on; None for a curve without adapters, which has all.
        layers: In which blocks.
    """
    is_same = (kind.target_modules, kind.layers) == (modules, layers)
    return not kind.is_adapted or modules is None or is_same


def is_defended(row: Row) -> bool:
    """Say whether a row is of an arm that was defended while it trained."""
    return row.get("defence") is not None


def is_derived(row: Row) -> bool:
    """Say whether a row is of an arm that was made of a finished update, cut or scaled."""
    return row["truncated_to"] is not None or row["norm_to"] is not None


def stands_apart(row: Row) -> bool:
    """Say whether a row is on no curve of trained arms: of a derived arm, or a defended one."""
    return is_derived(row) or is_defended(row)
