"""The contrasts that were written down before "What does rank do?" was run (docs/results.md)."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, product

from findings.contrasts import Cell, Weights, average, subtract

SKILL = "skill 0.9"
SKILL_WITH_NAMES = "skill 0.85"
"""Where novel names must be learned; rank 1 comes no further."""
END = "end"
RANKS = (1, 4, 16, 64, 256)
WIDE = (16, 64, 256)
"""The ranks that the lead takes for alike."""
US = (0.008, 0.032)
CUT = 4
"""The rank to which updates are cut."""
FULL = tuple(Cell(None, None, END, optimizer=name) for name in ("sgd", "adamw"))

Named = Iterator[tuple[str, Weights]]


def list_contrasts() -> Named:
    """Give every contrast with its name, account by account."""
    yield from _list_capacity()
    yield from _list_wide()
    yield from _list_scale()
    yield from _list_optimizers()
    yield from _list_cut()
    yield from _list_frozen()


def lift_rank_1(u: float, at: str = SKILL, names: int = 0) -> Weights:
    """Give rank 1 less the mean of ranks 16 to 256."""
    wide = average(Cell(rank, u, at, names=names) for rank in WIDE)
    return subtract(average([Cell(1, u, at, names=names)]), wide)


def _list_capacity() -> Named:
    for u in US:
        yield f"capacity: rank 1 less ranks 16 to 256, {SKILL}, u {u:g}", lift_rank_1(u)
    plain = lift_rank_1(US[1])
    for names in (300, 10_000):
        lift = lift_rank_1(US[1], at=SKILL_WITH_NAMES, names=names)
        name = f"capacity: the same with {names:,} names, {SKILL_WITH_NAMES}, u {US[1]:g}"
        yield name, lift
        yield f"{name}, less without", subtract(lift, plain)


def _list_wide() -> Named:
    for u in US:
        for low, high in combinations(WIDE, 2):
            name = f"alike: rank {high} less rank {low}, {SKILL}, u {u:g}"
            yield name, subtract(average([Cell(high, u, SKILL)]), average([Cell(low, u, SKILL)]))


def _list_scale() -> Named:
    small, large = US
    for at in (SKILL, END):
        name = f"scale: u {large:g} less u {small:g}, {at}, mean over ranks"
        means = [average(Cell(rank, u, at) for rank in RANKS) for u in (large, small)]
        yield name, subtract(*means)
    for u in US:
        cells = [Cell(rank, u, END) for rank in RANKS]
        for cell in cells:
            name = f"scale: rank {cell.rank} less the mean of all ranks, {END}, u {u:g}"
            yield name, subtract(average([cell]), average(cells))


def _list_optimizers() -> Named:
    for at in (SKILL, END):
        sgd, adamw = (average([replace(cell, at=at)]) for cell in FULL)
        yield f"geometry: full finetuning by SGD less AdamW, {at}", subtract(sgd, adamw)


def _list_cut() -> Named:
    for u in US:
        trained = Cell(CUT, u, END)
        for rank in WIDE:
            uncut = Cell(rank, u, END)
            cut = average([replace(uncut, cut_to=CUT)])
            name = f"geometry: rank {rank} cut to rank {CUT} less"
            yield f"{name} uncut, {END}, u {u:g}", subtract(cut, average([uncut]))
            yield f"{name} trained at it, {END}, u {u:g}", subtract(cut, average([trained]))
    for uncut in FULL:
        name = f"geometry: full by {uncut.optimizer} cut to rank {CUT} less uncut, {END}"
        yield name, subtract(average([replace(uncut, cut_to=CUT)]), average([uncut]))


def _list_frozen() -> Named:
    for u, ranks in product(US, (RANKS, *((rank,) for rank in RANKS))):
        trained = [Cell(rank, u, SKILL) for rank in ranks]
        frozen = average(replace(cell, trains_a=False) for cell in trained)
        which = f"rank {ranks[0]}" if len(ranks) == 1 else "mean over ranks"
        name = f"geometry: frozen A less trained A, {SKILL}, u {u:g}, {which}"
        yield name, subtract(frozen, average(trained))
