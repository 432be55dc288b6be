"""One panel of a chart over rank: its cells, what their values are, and all of it in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rankshift.report.cells import Cell, Missing
from rankshift.report.wording import format_loss, format_percent, format_points

Kind = Literal["share", "loss", "excess"]
"""What values are: shares from zero in percent, nats a token, or differences of shares."""

WRITE = {"share": format_percent, "loss": format_loss, "excess": format_points}


@dataclass(frozen=True)
class Panel:
    """What one panel of a chart over rank shows, and how its values are to be read."""

    cells: Sequence[Cell]
    title: str
    kind: Kind
    missing: Sequence[Missing] = ()
    scaled_by: Sequence[Cell] = ()
    """Cells of the panels beside it, which share its vertical scale."""
    has_strip: bool = False
    """Whether there is room under zero for what is missing, here or in a panel beside it."""

    @property
    def base(self) -> Cell | None:
        """Give the base; a second one is left out."""
        return next((cell for cell in self.cells if cell.category == "base"), None)

    @property
    def trained(self) -> list[Cell]:
        """Give what stands at a place of its own."""
        return [cell for cell in self.cells if cell.category != "base"]

    @property
    def ranks(self) -> list[int]:
        """List the ranks, ascending; those too where no arm has a value."""
        here = (*self.trained, *self.missing)
        return sorted({cell.rank for cell in here if cell.rank is not None})

    @property
    def categories(self) -> list[str]:
        """List what stands beside the ranks."""
        here = (*self.trained, *self.missing)
        return list(dict.fromkeys(cell.category for cell in here if cell.category))

    def tell(self, cell: Cell, value: float) -> str:
        """Say a value in words, and the mean's interval."""
        write = WRITE[self.kind]
        reach = ""
        if value == cell.value and cell.low is not None and cell.high is not None:
            reach = f" ({write(cell.low)} to {write(cell.high)})"
            if cell.outer is not None:
                reach = f"{reach[:-1]}; new questions {write(cell.outer[0])} to "
                reach += f"{write(cell.outer[1])})"
        return f"{cell.place}: {write(value)}{reach}"

    @property
    def description(self) -> str:
        """Say all means in one sentence, for a reader who cannot see them."""
        shown = [*([self.base] if self.base else []), *self.trained]
        told = dict.fromkeys(self.tell(cell, cell.value) for cell in shown)
        lacking = [missing.tip for missing in self.missing]
        return f"{self.title}. {'; '.join([*told, *lacking])}."
