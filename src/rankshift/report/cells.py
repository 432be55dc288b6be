"""What a chart over rank shows at one place: a mean, its intervals and seeds, or why none."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from rankshift.report.wording import name_full

Row = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One place of a chart over rank: a rank, or a category beside the ranks."""

    series: Literal["task", "twin"]
    rank: int | None
    category: str | None
    """`base`, `full`, full with its learning rate, or a given model's name; None for a rank."""
    value: float
    low: float | None
    high: float | None
    seeds: tuple[tuple[int | None, float], ...]
    """Each seed and its value."""
    outer: tuple[float, float] | None = None
    """The interval for new questions; low and high are for the questions asked."""

    @property
    def place(self) -> str:
        """Name the cell."""
        return name_place(self.series, self.rank, self.category)


@dataclass(frozen=True)
class Missing:
    """Arms of one place that have no value to draw, and why."""

    series: Literal["task", "twin"]
    rank: int | None
    category: str | None
    kind: Literal["censored", "refused"]
    number: int
    why: str

    @property
    def tip(self) -> str:
        """Say it in words."""
        place = name_place(self.series, self.rank, self.category)
        arms = "1 arm" if self.number == 1 else f"{self.number} arms"
        return f"{place}: {arms} {self.kind}, {self.why}"


def name_place(series: str, rank: int | None, category: str | None) -> str:
    """Name a rank or a category, and the twin's as such."""
    name = f"rank {rank}" if category is None else category
    return f"{name} twin" if series == "twin" else name


def list_share_cells(curve: Row) -> list[Cell]:
    """List the cells of a curve of shares that have a rate."""
    return [
        _make_cell(curve, point, "rate")
        for point in (*curve["points"], *curve["categories"])
        if point["rate"] is not None
    ]


def list_loss_cells(curve: Row, last_step: int) -> list[Cell]:
    """List the cells of a loss curve at the last step; what is not trained is measured once."""
    return [
        _make_cell(curve, point | step, "loss")
        for point in (*curve["points"], *curve["categories"])
        for step in point["steps"]
        if step["step"] == last_step or curve["given"] or point.get("category") in ("base", "model")
    ]


def list_excess_cells(curve: Row) -> list[Cell]:
    """List the cells of a curve of task minus twin."""
    return [
        _make_cell(curve | {"categories": curve.get("categories", [])}, point, "excess")
        for point in (*curve["points"], *curve.get("categories", []))
        if point["excess"] is not None
    ]


def list_missing(curve: Row) -> Iterator[Missing]:
    """List the arms of a curve at matched skill that never got there, or were not let."""
    for point in (*curve["points"], *curve["categories"]):
        for kind in ("censored", "refused"):
            arms = point.get(kind) or []
            if arms:
                why = ", ".join(dict.fromkeys(arm["why"] for arm in arms))
                category = _name_category(curve, point)
                yield Missing(curve["role"], point.get("rank"), category, kind, len(arms), why)


def _name_category(curve: Row, point: Row) -> str | None:
    category = point.get("category")
    if category == "full":
        return name_full(point, [c for c in curve["categories"] if c["category"] == "full"])
    return point["name"].removesuffix(" twin") if category == "model" else category


def _make_cell(curve: Row, point: Row, value: str) -> Cell:
    new = point.get("new_questions") or {}
    low, high = new.get("low"), new.get("high")
    seeds = point.get("seeds") or ()
    return Cell(
        series=curve["role"],
        rank=point.get("rank"),
        category=_name_category(curve, point),
        value=point[value],
        low=point["low"],
        high=point["high"],
        seeds=tuple((s["seed"], s[value]) for s in seeds if s.get(value) is not None),
        outer=None if low is None or high is None else (low, high),
    )
