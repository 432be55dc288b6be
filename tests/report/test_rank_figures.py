import xml.etree.ElementTree as ElementTree
from typing import Any

from rankshift.report.cells import Cell, Missing, list_loss_cells
from rankshift.report.panels import Kind, Panel
from rankshift.report.rank_figures import draw_over_rank, draw_side_by_side
from rankshift.report.svg import Figure


def cell(rank: int | None, value: float, category: str | None = None, **changes: Any) -> Cell:
    fixed: dict[str, Any] = {"low": None, "high": None, "seeds": ((1, value),)}
    return Cell("task", rank, category, value, **(fixed | changes))


def read_titles(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [e.text or "" for e in root.iter("{http://www.w3.org/2000/svg}title")]


def read_texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    texts = root.iter("{http://www.w3.org/2000/svg}text")
    return ["".join(text.itertext()) for text in texts]


def draw(cells: list[Cell], title: str, kind: Kind = "share") -> Figure | None:
    return draw_over_rank(Panel(cells, title, kind))


RANKS = [
    cell(1, 0.5, low=0.4, high=0.6, seeds=((1, 0.45), (2, 0.55))),
    cell(48, 0.25),
    cell(None, 0.1, "full"),
    cell(None, 0.01, "base"),
]


def test_every_mean_and_seed_can_be_read_off():
    figure = draw(RANKS, "Misaligned")
    assert figure is not None
    assert sorted(read_titles(figure.wide)) == [
        "base: 1.0%",
        "base: 1.0%",  # once beside the ranks, once beside full finetuning
        "full: 10.0%",
        "rank 1: 45.0%, seed 1",
        "rank 1: 50.0% (40.0% to 60.0%)",
        "rank 1: 55.0%, seed 2",
        "rank 48: 25.0%",
    ]
    assert "rank 1: 50.0% (40.0% to 60.0%)" in figure.description


def test_ranks_are_labelled_on_the_axis_and_full_finetuning_beside_it():
    figure = draw(RANKS, "Misaligned")
    assert figure is not None
    texts = read_texts(figure.wide)
    for label in ("1", "48", "full", "Misaligned", "LoRA rank (log scale)"):
        assert label in texts


def test_shares_are_drawn_from_zero_and_losses_are_not():
    share = draw(RANKS, "Share")
    loss = draw([cell(1, 1.5), cell(4, 1.6)], "Loss", "loss")
    assert share is not None
    assert loss is not None
    assert "0%" in read_texts(share.wide)
    assert "0.00" not in read_texts(loss.wide)


def test_nothing_trained_is_no_chart():
    assert draw([cell(None, 0.1, "base")], "Misaligned") is None
    assert draw([], "Misaligned") is None


def test_full_finetuning_alone_is_a_chart():
    assert draw([cell(None, 0.1, "full")], "Misaligned") is not None


def test_all_zero_shares_can_be_drawn():
    assert draw([cell(1, 0.0), cell(4, 0.0)], "Misaligned") is not None


def test_a_given_model_is_a_category_by_its_name_and_is_not_said_to_have_a_seed():
    loss = {
        "step": 0,
        "loss": 1.5,
        "low": None,
        "high": None,
        "seeds": [{"seed": None, "loss": 1.5}],
    }
    models = [{"category": "model", "learning_rate": None, "name": "lab/whole twin"}]
    curve = {"role": "twin", "given": True, "points": [{"rank": 8, "steps": [loss]}]}
    curve["categories"] = [models[0] | {"steps": [loss]}]
    ranked, whole = list_loss_cells(curve, last_step=8)
    assert (ranked.rank, whole.category, whole.place) == (8, "lab/whole", "lab/whole twin")
    pair = cell(8, 0.5, seeds=((None, 0.4), (None, 0.6)))
    figure = draw([pair, whole], "Share")
    assert figure is not None
    assert "rank 8: 40.0%, seed not stated" in read_titles(figure.wide)


def test_both_intervals_can_be_read_off_and_the_outer_one_sets_the_scale():
    figure = draw([cell(1, 0.2, low=0.1, high=0.3, outer=(0.05, 0.62)), cell(4, 0.1)], "Share")
    assert figure is not None
    told = "rank 1: 20.0% (10.0% to 30.0%; new questions 5.0% to 62.0%)"
    assert told in read_titles(figure.wide)
    assert "60%" in read_texts(figure.wide)


def test_a_difference_is_told_in_points_and_may_be_under_zero():
    figure = draw([cell(1, -0.02, low=-0.1, high=0.06), cell(4, 0.3)], "Excess", "excess")
    assert figure is not None
    assert "rank 1: -2.0 points (-10.0 points to +6.0 points)" in read_titles(figure.wide)
    assert "\u221210%" in read_texts(figure.wide)


def test_what_is_missing_has_its_rank_and_its_reason_in_every_panel_beside():
    missing = [Missing("task", 64, None, "censored", 2, "never reached it")]
    panels = [
        Panel([cell(1, 0.5)], "At 50%", "share", has_strip=True),
        Panel([cell(1, 0.4)], "At 90%", "share", missing=missing, has_strip=True),
        Panel([], "At 99%", "share"),
    ]
    figure = draw_side_by_side(panels, columns=3, title="Share")
    assert figure is not None
    told = "rank 64: 2 arms censored, never reached it"
    assert read_titles(figure.wide).count(told) == 1
    assert told in figure.description
    assert "64" in read_texts(figure.wide)
    assert "At 99%" not in read_texts(figure.wide)
    assert draw_side_by_side(panels[2:], columns=3, title="Share") is None
