import xml.etree.ElementTree as ElementTree
from typing import Any

from rankshift.report.courses import draw_over_steps, draw_training, list_ranks, spread


def read_titles(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [e.text or "" for e in root.iter("{http://www.w3.org/2000/svg}title")]


def measure(step: int, loss: float) -> dict[str, Any]:
    return {"step": step, "loss": loss}


def test_every_line_starts_at_the_base():
    curve = {
        "points": [{"rank": 4, "steps": [measure(8, 1.2)]}],
        "categories": [
            {"category": "base", "learning_rate": None, "steps": [measure(0, 2.0)]},
            {"category": "full", "learning_rate": 1e-4, "steps": [measure(8, 1.1)]},
        ],
    }
    figure = draw_over_steps(curve)
    assert figure is not None
    assert sorted(read_titles(figure.wide)) == [
        *("full at step 0: 2.000", "full at step 8: 1.100"),
        *("rank 4 at step 0: 2.000", "rank 4 at step 8: 1.200"),
    ]


def test_no_trained_arm_is_no_chart():
    assert draw_over_steps({"points": [], "categories": []}) is None


def test_places_are_spread_over_the_whole_ramp():
    assert spread(3) == [0.0, 0.5, 1.0]
    assert spread(1) == [0.0]


def test_every_arm_has_a_line_of_training_loss_under_its_dataset():
    def describe(arm: str, rank: int | None, dataset: str) -> dict[str, Any]:
        identity = {"arm": arm, "label": arm, "rank": rank, "seed": 1, "dataset": dataset}
        return identity | {"method": "lora" if rank else "full"}

    rows = [describe("a", 4, "bad"), describe("b", None, "bad"), describe("c", 8, "good")]
    curves = [{"arm": arm, "steps": [1, 2], "losses": [2.0, None]} for arm in ("a", "b", "c")]
    curves.append({"arm": "d", "steps": [], "losses": []})
    bad, good = draw_training({"arms": rows, "training_curves": curves})
    assert (bad.title, good.title) == ("Trained on bad", "Trained on good")
    assert [row["arm"] for row in bad.rows] == ["a", "a", "b", "b"]
    assert list_ranks([bad]) == [4]
    assert "2 arms, from 2.000 to 2.000 nats" in bad.figure.description


def test_results_without_training_loss_have_no_chart_of_it():
    assert draw_training({"arms": []}) == []
