from dataclasses import replace

import pytest

from rankshift.defence import Defences
from rankshift.defence_rules import relate_defences
from rankshift.grid import NO_GRID, Grid
from rankshift.study import Base, Evaluation, Study

STUDY = Study(
    name="x",
    base=Base("organism"),
    grid=Grid((4,), (1,), ("alpha/rank",), (16.0,), (1e-3,)),
    evaluation=Evaluation(("organism:held-out",)),
)


def list_faults(*tables: Defences, study: Study = STUDY) -> list[str]:
    """List the keys that are at fault."""
    study = replace(study, grid=replace(study.grid, defences=tables))
    return [key for key, holds, _ in relate_defences(study) if not holds]


@pytest.mark.parametrize(
    ("table", "key"),
    [
        (Defences("kl", (0.1,)), "data"),
        (Defences("kl", (), data="x"), "strengths"),
        (Defences("interleave", (0.1, 1.1), data="x"), "strengths"),
        (Defences("inoculation", (1.0,)), "text"),
        (Defences("steering", (1.0,)), "contrasts"),
        (Defences("spectral", (1.0,), data="x"), "data"),
        (Defences("spectral", (1.0,), layer=1), "layer"),
        (Defences("spectral", (1.0,), turn="user"), "turn"),
        (Defences("projection", (1.0,), contrasts="x", text="y"), "text"),
    ],
)
def test_a_defence_without_what_it_needs_or_with_what_it_does_not_read_is_refused(table, key):
    assert list_faults(table) == [f"grid.defences.0.{key}"]


def test_every_kind_passes_with_what_it_needs():
    assert not list_faults(
        Defences("kl", (5.0,), data="x"),
        Defences("inoculation", (1.0,), text="x", turn="user"),
        Defences("steering", (8.0,), contrasts="x", layer=0),
        Defences("spectral", (2.0,)),
    )


def test_a_study_that_trains_nothing_has_nothing_to_defend():
    study = replace(STUDY, grid=NO_GRID)
    assert list_faults(Defences("spectral", (1.0,)), study=study) == ["grid.defences"]
