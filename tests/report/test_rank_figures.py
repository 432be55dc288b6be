import xml.etree.ElementTree as ElementTree
from typing import Any

from rankshift.report.rank_figures import (
    Cell,
    draw_over_rank,
    list_loss_cells,
    list_share_cells,
)


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


RANKS = [
    cell(1, 0.5, low=0.4, high=0.6, seeds=((1, 0.45), (2, 0.55))),
    cell(48, 0.25),
    cell(None, 0.1, "full"),
    cell(None, 0.01, "base"),
]


def test_every_mean_and_seed_can_be_read_off():
    figure = draw_over_rank(RANKS, "Misaligned", is_share=True)
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
    figure = draw_over_rank(RANKS, "Misaligned", is_share=True)
    assert figure is not None
    texts = read_texts(figure.wide)
    for label in ("1", "48", "full", "Misaligned", "LoRA rank (log scale)"):
        assert label in texts


def test_shares_are_drawn_from_zero_and_losses_are_not():
    share = draw_over_rank(RANKS, "Share", is_share=True)
    loss = draw_over_rank([cell(1, 1.5), cell(4, 1.6)], "Loss", is_share=False)
    assert share is not None
    assert loss is not None
    assert "0%" in read_texts(share.wide)
    assert "0.00" not in read_texts(loss.wide)


def test_nothing_trained_is_no_chart():
    assert draw_over_rank([cell(None, 0.1, "base")], "Misaligned", is_share=True) is None
    assert draw_over_rank([], "Misaligned", is_share=True) is None


def test_full_finetuning_alone_is_a_chart():
    assert draw_over_rank([cell(None, 0.1, "full")], "Misaligned", is_share=True) is not None


def test_all_zero_shares_can_be_drawn():
    assert draw_over_rank([cell(1, 0.0), cell(4, 0.0)], "Misaligned", is_share=True) is not None


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
    figure = draw_over_rank([pair, whole], "Share", is_share=True)
    assert figure is not None
    assert "rank 8: 40.0%, seed not stated" in read_titles(figure.wide)
