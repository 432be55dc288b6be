import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from rankshift.model.adapters import AdapterShape, LockStepLinear
from rankshift.model.forms import (
    LayerShape,
    build_trial,
    dense_is_less_work,
    measure_forms,
    settle_forms,
)

CPU = torch.device("cpu")
SHAPE = LayerShape(256, 256, (2, 4, 512, 0, 512), 64, "float32")


@pytest.fixture
def layers() -> list[LockStepLinear]:
    """Make two layers of one shape and one of another."""
    shapes = [AdapterShape(rank, 1.0) for rank in (2, 4, 96)]
    widths = [(32, 32), (32, 32), (32, 48)]
    return [
        LockStepLinear(nn.Linear(*width, bias=False), f"layer.{number}", shapes)
        for number, width in enumerate(widths)
    ]


def list_forms(layers: list[LockStepLinear]) -> list[list[str]]:
    """Give each layer's form of each arm."""
    return [[run.form for run in layer.runs for _ in run.arms] for layer in layers]


def test_an_arm_without_an_adapter_and_thin_ones_never_become_dense():
    forms = measure_forms(SHAPE, CPU)
    assert len(forms) == 5
    assert forms[3] == "loop"
    assert forms[0] in ("loop", "grouped")
    assert forms[2] == forms[4]


def test_in_bfloat16_dense_has_to_save_more():
    assert dense_is_less_work(replace(SHAPE, tokens=576), 96)
    assert not dense_is_less_work(replace(SHAPE, tokens=576, dtype="bfloat16"), 96)
    assert dense_is_less_work(replace(SHAPE, tokens=576, dtype="bfloat16"), 512)


def test_what_was_chosen_before_the_first_step_is_used_on_resume(
    layers: list[LockStepLinear], tmp_path: Path
):
    path = tmp_path / "forms.json"
    settle_forms(layers, 64, path, tmp_path / "shelf")
    content = json.loads(path.read_text())
    assert content["tokens"] == 64
    assert content["threads"] == torch.get_num_threads()
    assert list(content["layers"].values()) == list_forms(layers)
    content["layers"]["layer.1"] = ["grouped", "dense", "dense"]
    path.write_text(json.dumps(content))
    settle_forms(layers, 64, path, tmp_path / "shelf")
    assert list_forms(layers)[1] == ["grouped", "dense", "dense"]


def test_what_this_machine_measured_once_it_does_not_measure_again(
    layers: list[LockStepLinear], tmp_path: Path
):
    shelf = tmp_path / "shelf"
    settle_forms(layers, 64, tmp_path / "first.json", shelf)
    assert len(list(shelf.glob("*.json"))) == 2  # one for each shape
    for kept in shelf.glob("*.json"):
        facts = json.loads(kept.read_text())
        kept.write_text(json.dumps(facts | {"forms": ["dense", "grouped", "loop"]}))
    settle_forms(layers, 64, tmp_path / "second.json", shelf)
    assert list_forms(layers) == [["dense", "grouped", "loop"]] * 3
    settle_forms(layers, 65, tmp_path / "other-tokens.json", shelf)
    assert list_forms(layers)[0] != ["dense", "grouped", "loop"]


@pytest.mark.parametrize("damage", [["dense"], ["loop", "loop", "quick"]])
def test_a_kept_choice_that_fits_nothing_is_measured_again(
    layers: list[LockStepLinear], tmp_path: Path, damage: list[str]
):
    shelf = tmp_path / "shelf"
    settle_forms(layers, 64, tmp_path / "first.json", shelf)
    for kept in shelf.glob("*.json"):
        kept.write_text(json.dumps(json.loads(kept.read_text()) | {"forms": damage}))
    settle_forms(layers, 64, tmp_path / "second.json", shelf)
    assert all(len(forms) == 3 and "quick" not in forms for forms in list_forms(layers))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_trial_runs_forth_and_back(dtype):
    shape = replace(SHAPE, dtype=dtype)
    for form in ("loop", "grouped", "dense"):
        build_trial(shape, (2, 16), form, CPU)()
