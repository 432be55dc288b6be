"""The grid: what each of its lists makes."""

from rankshift.grid import ALL_PROJECTIONS, NO_GRID, FullFinetunes, Grid, Subset

GRID = Grid((2,), (1,), ("alpha/rank",), (16.0,), (1e-3,))


def test_the_short_form_of_full_finetuning_is_one_of_its_tables():
    sgd = FullFinetunes((0.1,), "sgd", "adapted")
    grid = Grid((), (1,), (), (), (), full_learning_rates=(1e-4,), full=(sgd,))
    assert grid.full_finetunes == (FullFinetunes((1e-4,)), sgd)
    assert grid.trains
    assert not NO_GRID.trains


def test_every_set_of_modules_meets_every_set_of_layers():
    grid = Grid(
        *(GRID.ranks, GRID.seeds, GRID.scalings, GRID.alphas, GRID.learning_rates),
        target_modules=(("q_proj",), ALL_PROJECTIONS),
        layers=((2, 0), ()),
    )
    assert grid.subsets == [
        Subset(("q_proj",), (0, 2)),
        Subset(("q_proj",), ()),
        Subset(ALL_PROJECTIONS, (0, 2)),
        Subset(ALL_PROJECTIONS, ()),
    ]
