from rankshift.report.cells import Cell, Missing
from rankshift.report.panels import Panel


def test_ranks_and_categories_are_those_of_arms_without_a_value_too():
    cells = [
        Cell("task", 4, None, 0.1, None, None, ()),
        Cell("task", None, "base", 0, None, None, ()),
    ]
    missing = [
        Missing("task", 2, None, "refused", 1, "near the floor"),
        Missing("twin", None, "full", "censored", 3, "never reached it"),
    ]
    panel = Panel(cells, "Share", "share", missing)
    assert (panel.ranks, panel.categories) == ([2, 4], ["full"])
    assert panel.base == cells[1]
    assert panel.description == (
        "Share. base: 0.0%; rank 4: 10.0%; rank 2: 1 arm refused, near the floor; "
        "full twin: 3 arms censored, never reached it."
    )
