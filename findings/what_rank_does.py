"""The figures of "What does rank do?" (docs/results.md), from the counts of its runs.

python -m findings.what_rank_does                   # prints them, from findings/results/
python -m findings.what_rank_does --take runs/NAME  # puts a finished run's counts there first
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import fmean

from findings.contrasts import Cell, Estimate, Rates, estimate_contrast
from findings.rank_contrasts import SKILL, US, WIDE, list_contrasts
from findings.readings import list_readings, read_tables, write_readings

TABLES = Path(__file__).parent / "results" / "what-rank-does"
GRID = ".grid"
"""Ends the name of the table with the grid at one seed, which decides nothing."""
NAMES = {"insecure": 0, "insecure-k300": 300, "insecure-k10000": 10_000}
"""How many novel names each task's data holds."""
LEAST = 0.25
"""Of the answers that must be coherent for a rate of them to be read."""

Row = Mapping[str, str]


def main() -> None:
    """Print the mean rates and the contrasts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--take", type=Path, nargs="+", default=[], help="finished runs")
    for run in parser.parse_args().take:
        results = json.loads((run / "results.json").read_text(encoding="utf-8"))
        TABLES.mkdir(parents=True, exist_ok=True)
        write_readings(TABLES / f"{run.name}.csv", list_readings(results))
    rows = read_tables(TABLES)
    rates, masses = gather_cells(rows, read_rate), gather_cells(rows, read_mass)
    print("Misaligned of coherent answers")
    for line in (*list_means(rates), "", *list_verdicts(rates), "", *list_ratios(rates)):
        print(line)
    print("\nProbability of a misaligned answer among given ones")
    for line in (*list_means(masses), "", *list_verdicts(masses)):
        print(line)


def gather_cells(rows: Iterable[Row], read: Callable[[Row], float | None]) -> Rates:
    """Sort the readings of the decisive studies into cells; twins and scaled updates are left."""
    cells: dict[Cell, dict[tuple[str, int], float]] = {}
    for row in rows:
        if row["role"] == "task" and not row["norm_to"] and not row["table"].endswith(GRID):
            value = read(row)
            if value is not None:
                cells.setdefault(find_cell(row), {})[row["base"], int(row["seed"])] = value
    return cells


def read_rate(row: Row) -> float | None:
    """Give the share misaligned of coherent answers; None where too few answers are coherent."""
    eligible = int(row["eligible"])
    return int(row["events"]) / eligible if eligible >= LEAST * int(row["answers"]) else None


def read_mass(row: Row) -> float | None:
    """Give the probability of a misaligned answer among given ones; None where none was given."""
    return float(row["mass"]) if row["mass"] else None


def find_cell(row: Row) -> Cell:
    """Give the cell of a reading."""
    return Cell(
        rank=int(row["rank"]) if row["rank"] else None,
        u=float(row["u"]) if row["u"] else None,
        at=row["at"],
        optimizer=row["optimizer"],
        trains_a=row["trains_a"] != "False",
        cut_to=int(row["truncated_to"]) if row["truncated_to"] else None,
        names=NAMES[row["dataset"].removeprefix("organism:")],
    )


def list_means(rates: Rates) -> Iterable[str]:
    """Give a line a cell: the mean rate over seeds on each base, and how many seeds there are."""
    for cell in sorted(rates, key=str):
        means, num_seeds = mean_by_base(rates, cell), Counter(base for base, _ in rates[cell])
        told = [f"{base} {100 * mean:.1f} % of {num_seeds[base]}" for base, mean in means.items()]
        yield f"{name_cell(cell)}: {', '.join(told)}"


def name_cell(cell: Cell) -> str:
    """Name a cell for people."""
    arm = f"rank {cell.rank}, u {cell.u:g}" if cell.rank else f"full, {cell.optimizer}"
    parts = [
        arm,
        "" if cell.trains_a else "A frozen",
        f"cut to rank {cell.cut_to}" if cell.cut_to else "",
        f"{cell.names} novel names" if cell.names else "",
        cell.at,
    ]
    return ", ".join(filter(None, parts))


def list_verdicts(rates: Rates) -> Iterable[str]:
    """Give each contrast in points, over the bases and on each, with what each interval says."""
    for name, weights in list_contrasts():
        found = estimate_contrast(rates, weights)
        if found is not None:
            overall, bases = found
            yield f"{name}: {_write(overall)}"
            yield from (f"    {base:12} {_write(estimate)}" for base, estimate in bases.items())


def list_ratios(rates: Rates) -> Iterable[str]:
    """Give, base by base, how many times the mean rate of ranks 16 to 256 that of rank 1 is."""
    for u in US:
        rank_1 = mean_by_base(rates, Cell(1, u, SKILL))
        wide = [mean_by_base(rates, Cell(rank, u, SKILL)) for rank in WIDE]
        told = [
            f"{base} {mean / fmean(found[base] for found in wide):.2f}"
            for base, mean in rank_1.items()
            if all(base in found for found in wide)
        ]
        yield f"rank 1 over ranks 16 to 256, {SKILL}, u {u:g}: {', '.join(told) or 'not read'}"


def mean_by_base(rates: Rates, cell: Cell) -> dict[str, float]:
    """Give a cell's mean rate over seeds on each base that has it."""
    bases: dict[str, list[float]] = {}
    for (base, _), rate in sorted(rates.get(cell, {}).items()):
        bases.setdefault(base, []).append(rate)
    return {base: fmean(found) for base, found in bases.items()}


def _write(found: Estimate) -> str:
    mean, low, high = (f"{100 * value:.1f}" for value in (found.mean, found.low, found.high))
    return f"{mean} ({low} to {high}) {found.verdict}"


if __name__ == "__main__":
    main()
