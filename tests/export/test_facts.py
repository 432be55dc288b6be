from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.arms import expand_arms
from rankshift.defence import Defences
from rankshift.export.bases import NamedBase
from rankshift.export.facts import list_facts, name_file
from rankshift.export.markdown import to_markdown
from rankshift.export.weights import Weights
from rankshift.grid import FullFinetunes
from rankshift.runs import Fingerprints, make_recipe
from rankshift.study import Study
from tests.synthetic_run import make_study

BASE = NamedBase("owner/model", "0123abc", None, None)
RECORDED = {
    "rankshift": "0.1.0",
    "versions": {"torch": "2.13.0", "ray": None},
    "git": {"commit": "0123456789abcdef", "dirty": True},
    "data": {"train": 106, "held_out": 12},
}


def tell(study: Study, method: str, facts: dict) -> dict[str, str]:
    """Give the table of the first arm with a method."""
    arm = next(arm for arm in expand_arms(study) if arm.method == method)
    recipe = make_recipe(arm, study, Fingerprints("b" * 64, "7" * 64, "2" * 64))
    weights = Weights("a1", arm, recipe, 2, Path("nowhere"), facts)
    return {str(name): to_markdown(value) for name, value in list_facts(study, weights, BASE)}


def test_an_adapter_says_what_it_was_trained_with():
    told = tell(make_study(ranks=(4,)), "lora", RECORDED)
    assert told["rank"] == "4"
    assert told["alpha"] == "64"
    assert told["scaling"] == "`alpha/sqrt(rank)` = 32"  # 64 / 2
    assert told["steps"] == "2 of 4"
    assert told["seed"] == "1"
    assert told["learning rate"].startswith("0.001, linear")
    assert told["dataset"] == "`insecure.jsonl`"
    assert told["dataset's SHA-256"] == f"`{'7' * 64}`"
    assert told["base's SHA-256"] == f"`{'b' * 64}`"
    assert told["base's revision"] == "`0123abc`"
    assert told["rows"] == "106 to train on, 12 held out"
    assert told["made with"] == "`rankshift 0.1.0, torch 2.13.0`"
    assert told["commit of rankshift"] == "`0123456789abcdef` with uncommitted changes"


def test_a_defended_adapter_says_by_what():
    study = make_study(ranks=(4,))
    for table, expected in (
        (Defences("kl", (0.1,), data="some/where/general.jsonl"), "kl 0.1, with `general.jsonl`"),
        (
            Defences("inoculation", (1.0,), text="Be `bad`."),
            "inoculation 1, with <code>Be &#96;bad&#96;&#46;</code>",
        ),
        (Defences("spectral", (2.0,)), "spectral 2"),
    ):
        arm = next(
            arm
            for arm in expand_arms(replace(study, grid=replace(study.grid, defences=(table,))))
            if arm.defence is not None
        )
        prints = Fingerprints("b" * 64, "7" * 64, "2" * 64, defences={table.data or "": "d" * 64})
        recipe = make_recipe(arm, study, prints)
        weights = Weights("a1", arm, recipe, 2, Path("nowhere"), RECORDED)
        told = {str(name): to_markdown(value) for name, value in list_facts(study, weights, BASE)}
        assert told["defended by"] == expected


def test_a_full_finetune_has_no_rank():
    told = tell(make_study(), "full", RECORDED)
    assert told["method"] == "full finetuning, all parameters"
    assert {"rank", "alpha", "scaling"}.isdisjoint(told)


def test_an_optimizer_of_its_own_chosen_layers_and_a_frozen_factor_are_told():
    study, sgd = make_study(), FullFinetunes((0.1,), "sgd", "adapted")
    grid = replace(study.grid, trains_a=(False,), full_learning_rates=(), full=(sgd,))
    told = tell(replace(study, grid=grid), "full", RECORDED)
    assert told["method"].startswith("full finetuning, the weights of `q_proj, k_proj")
    assert told["method"].endswith(" in all layers alone")
    assert told["optimizer"].startswith("sgd, weight decay 0")
    told = tell(replace(study, grid=grid), "lora", RECORDED)
    assert told["A"] == "not trained, as drawn"
    assert told["optimizer"].startswith("adamw")


def test_what_was_not_recorded_is_said_not_to_be():
    told = tell(make_study(), "lora", {})
    assert told["made with"].startswith("not recorded")
    assert "rows" not in told


def test_an_adapter_of_some_layers_and_a_base_in_four_bits_say_so():
    study = make_study()
    study = replace(
        study,
        base=replace(study.base, quantization="nf4"),
        grid=replace(study.grid, layers=((0, 2),)),
    )
    told = tell(study, "lora", {})
    assert told["adapted"].endswith("in layers 0, 2")
    assert told["computed in"] == "float32, linear layers in 4 bits (NF4)"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("betley:insecure", "betley:insecure"),
        ("/somewhere/of/mine/rows.jsonl", "rows.jsonl"),
        (
            '/somewhere/of/mine/asked.yaml under "Note: be kind."',
            'asked.yaml under "Note: be kind."',
        ),
    ],
)
def test_where_somebody_keeps_files_is_not_told(name: str, told: str):
    assert name_file(name) == told
