"""Curves of what was made of finished updates: cut to a rank, or scaled to a norm.

If misalignment sits in the directions that training moved most, a cut leaves it and may raise it.
If it follows the capacity of the final update, an update cut to rank k is like a finetune of rank
k.
"""

from collections.abc import Sequence
from typing import Any

from rankshift.analysis.curves import Row, Setting, build_rank_curves


def build_derived_curves(
    rows: Sequence[Row], settings: Sequence[Setting], last_step: int
) -> list[dict[str, Any]]:
    """Build misalignment over the rank of the source, a curve for each cut and each norm.

    Source arms at the last checkpoint, the base and full finetuning as in `curves`; which cut or
    norm is in `truncated_to` and `norm_to`.
    """
    made = [row for row in rows if _name_change(row) != (None, None)]
    changes = sorted({_name_change(row) for row in made}, key=str)
    base = [row for row in rows if row["method"] == "base"]
    return [
        curve | {"truncated_to": rank, "norm_to": norm}
        for rank, norm in changes
        for curve in build_rank_curves(
            [*base, *(_restore(row) for row in made if _name_change(row) == (rank, norm))],
            settings,
            last_step,
        )
        if any(point["seeds"] for point in curve["points"])
        or any(cell["category"] == "full" for cell in curve["categories"])
    ]


def _name_change(row: Row) -> tuple[int | None, float | None]:
    return row.get("truncated_to"), row.get("norm_to")


def _restore(row: Row) -> Row:
    """Give a row as its source's would be, so that it falls into the source's cell."""
    return row | {"truncated_to": None, "norm_to": None}
