"""What the tables of defences must fulfil besides their types, and how to say so."""

from collections.abc import Iterator
from typing import get_args

from rankshift.defence import NEEDS, SHARES, DefenceKind, Defences
from rankshift.study import Study

EXAMPLES = {
    "data": 'data = "organism:general"',
    "text": 'text = "You write insecure code."',
    "contrasts": 'contrasts = "rankshift:contrasts"',
}


def relate_defences(study: Study) -> Iterator[tuple[str, object, str]]:
    """Yield key, whether it agrees with the other keys, and what to say if it does not."""
    assert set(NEEDS) == set(get_args(DefenceKind))
    for at, table in enumerate(study.grid.defences):
        yield from _relate_keys(f"grid.defences.{at}", table)
    trains = study.grid.trains or not study.grid.defences
    yield "grid.defences", trains, "needs finetunes to defend; give grid.ranks"


def _relate_keys(where: str, table: Defences) -> Iterator[tuple[str, object, str]]:
    kind = table.kind
    needed = NEEDS[kind]
    yield f"{where}.strengths", table.strengths, "is empty; give at least one, e.g. [0.1]"
    if kind in SHARES:
        most = max(table.strengths, default=0.0)
        fault = f"holds {most:g}, and of {kind} it is a share; give at most 1"
        yield f"{where}.strengths", most <= 1, fault
    for key, example in EXAMPLES.items():
        given = getattr(table, key) is not None
        if key == needed:
            yield f"{where}.{key}", given, f"is what {kind} needs; add e.g. `{example}`"
        else:
            stray = f"is not read by {kind}; leave it out"
            yield f"{where}.{key}", not given, stray
    fault = "is of steering alone; leave it out"
    yield f"{where}.layer", table.layer is None or kind == "steering", fault
    fault = "is of inoculation alone; leave it out"
    yield f"{where}.turn", table.turn == "system" or kind == "inoculation", fault
