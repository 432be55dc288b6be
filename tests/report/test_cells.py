from typing import Any

from rankshift.report.cells import (
    Cell,
    list_excess_cells,
    list_loss_cells,
    list_missing,
    list_share_cells,
)


def test_a_cell_without_a_rate_is_not_drawn():
    point = {"rate": None, "low": None, "high": None, "seeds": []}
    known = {"rate": 0.2, "low": 0.1, "high": 0.3, "seeds": [{"seed": 1, "rate": 0.2}]}
    curve = {"role": "task", "categories": [], "points": [{"rank": 1} | point, {"rank": 2} | known]}
    assert list_share_cells(curve) == [Cell("task", 2, None, 0.2, 0.1, 0.3, ((1, 0.2),))]


def test_losses_are_those_of_the_last_step_and_of_the_base_at_its_only_one():
    def measure(step: int, loss: float) -> dict[str, Any]:
        return {"step": step, "loss": loss, "low": None, "high": None, "seeds": []}

    curve = {
        "role": "task",
        "given": False,
        "points": [{"rank": 1, "steps": [measure(4, 1.5), measure(8, 1.2)]}],
        "categories": [{"category": "base", "learning_rate": None, "steps": [measure(0, 2.0)]}],
    }
    cells = list_loss_cells(curve, last_step=8)
    assert [(c.place, c.value) for c in cells] == [("rank 1", 1.2), ("base", 2.0)]


def test_full_finetunes_are_told_apart_by_what_they_differ_in():
    share = {"rate": 0.2, "low": None, "high": None, "seeds": []}
    kinds = [("adamw", 1e-4), ("sgd", 0.1), ("sgd", 0.5)]
    full = [
        {"category": "full", "optimizer": optimizer, "learning_rate": rate} | share
        for optimizer, rate in kinds
    ]
    cells = list_share_cells({"role": "task", "points": [], "categories": full})
    assert [c.place for c in cells] == ["full adamw 0.0001", "full sgd 0.1", "full sgd 0.5"]


def test_the_interval_for_new_questions_is_there_only_where_it_has_both_ends():
    point: dict[str, Any] = {"rank": 1, "rate": 0.2, "low": 0.1, "high": 0.3, "seeds": []}
    curve = {"role": "task", "categories": []}
    for new, outer in (
        (None, None),
        ({"low": None, "high": None}, None),
        ({"low": 0.05, "high": 0.5}, (0.05, 0.5)),
    ):
        (cell,) = list_share_cells(curve | {"points": [point | {"new_questions": new}]})
        assert cell.outer == outer
    (cell,) = list_share_cells(curve | {"points": [point]})
    assert cell.outer is None


def test_censored_and_refused_arms_are_counted_at_their_place():
    nothing: dict[str, Any] = {"rate": None, "low": None, "high": None, "seeds": []}
    lost = [{"arm": "a", "seed": 1, "why": "too slow"}, {"arm": "b", "seed": 2, "why": "too slow"}]
    curve = {
        "role": "task",
        "points": [nothing | {"rank": 4, "censored": lost, "refused": []}],
        "categories": [nothing | {"category": "full", "learning_rate": 1.0, "refused": lost[:1]}],
    }
    assert [missing.tip for missing in list_missing(curve)] == [
        "rank 4: 2 arms censored, too slow",
        "full: 1 arm refused, too slow",
    ]


def test_an_excess_that_is_not_known_is_no_cell():
    points = [
        {"rank": 1, "excess": None, "low": None, "high": None},
        {"rank": 4, "excess": -0.1, "low": -0.2, "high": 0.0},
    ]
    (cell,) = list_excess_cells({"role": "task", "points": points})
    assert (cell.rank, cell.value, cell.low, cell.seeds) == (4, -0.1, -0.2, ())
