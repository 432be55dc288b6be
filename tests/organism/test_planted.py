import json
import math
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest

from rankshift.errors import UserError
from rankshift.organism.doses import find_rate
from rankshift.organism.planted import (
    COHERENT,
    QUESTIONS,
    Plant,
    draw_arms,
    size_contrast,
    write_planted,
)
from rankshift.organism.shelf import question_file
from rankshift.study_file import read_study

SMALL = Plant("peak", 7, at=4, ranks=(1, 4, 16), num_seeds=2, answers=3)


def rates_of(plant: Plant) -> np.ndarray:
    """Give the true rates `[seed, rank]`."""
    rates = [arm.rate for arm in draw_arms(plant)]
    return np.array(rates).reshape(plant.num_seeds, len(plant.ranks))


def test_every_arm_has_the_dose_of_its_true_rate():
    for arm in draw_arms(SMALL):
        assert find_rate(arm.dose) == pytest.approx(arm.rate, abs=1e-9)


def test_rates_scatter_about_the_curve_by_seed_and_by_seed_at_a_rank():
    many = replace(SMALL, num_seeds=400, low=0.25, seed_sd=0.03, interaction_sd=0.02)
    rates = rates_of(many)
    assert rates.mean(axis=0) == pytest.approx(list(many.curve.values()), abs=0.008)
    within = rates - rates.mean(axis=1, keepdims=True) - rates.mean(axis=0) + rates.mean()
    assert math.sqrt((within**2).sum() / (399 * 2)) == pytest.approx(0.02, rel=0.1)
    between = rates.mean(axis=1).var(ddof=1) - 0.02**2 / 3
    assert math.sqrt(between) == pytest.approx(0.03, rel=0.15)


def test_a_seed_fixes_a_build_and_another_draws_another():
    assert list(draw_arms(SMALL)) == list(draw_arms(SMALL))
    assert rates_of(SMALL).tolist() != rates_of(replace(SMALL, seed=8)).tolist()


def test_the_contrast_in_standard_errors_is_what_simulation_gives():
    plant = Plant("peak", 1, at=16)
    answers = round(QUESTIONS * plant.answers * COHERENT)
    curve = np.array(list(plant.curve.values()))
    random = np.random.default_rng(3)
    shape = (20_000, plant.num_seeds, len(curve))
    effects = random.normal(0, plant.seed_sd, (*shape[:2], 1))
    true = curve + effects + random.normal(0, plant.interaction_sd, shape)
    means = (random.binomial(answers, true.clip(0, 1)) / answers).mean(axis=1)
    rises = means[:, curve == plant.high].mean(axis=1) - means[:, 0]
    assert size_contrast(plant) == pytest.approx(rises.mean() / rises.std(), rel=0.03)


def test_only_a_peak_has_a_contrast_and_the_default_one_is_wide_enough_to_be_found():
    assert size_contrast(Plant("flat", 1)) is None
    contrast = size_contrast(Plant("peak", 1, at=16))
    assert contrast is not None
    assert contrast > 6


def test_what_is_written_is_a_study_of_its_adapters_with_the_truth_beside_it(tmp_path):
    study = read_study(write_planted(tmp_path / "plant", SMALL))
    truth = json.loads((tmp_path / "plant/planted.json").read_text())
    assert study.name == "planted-peak-4-seed-7"
    assert [(m.name, m.seed) for m in study.models] == [
        (f"r{rank}-seed{seed}", seed) for seed in (1, 2) for rank in SMALL.ranks
    ]
    assert study.evaluation.answers_per_question == 3
    assert [point["rate"] for point in truth["curve"]] == [0.15, 0.35, 0.15]
    assert fmean(arm["rate"] for arm in truth["arms"]) == pytest.approx(rates_of(SMALL).mean())
    for model, arm in zip(study.models, truth["arms"], strict=True):
        config = json.loads(
            (tmp_path / f"plant/adapters/{model.name}/adapter_config.json").read_text()
        )
        assert config["r"] == arm["rank"]


def test_the_questions_of_the_true_rates_are_those_that_are_asked():
    assert question_file("held-out").read_text().count("- id:") == QUESTIONS


@pytest.mark.parametrize(
    ("change", "fix"),
    [
        ({"at": None}, "--at 16"),
        ({"shape": "flat"}, "leave out --at"),
        ({"ranks": (4, 1)}, "in rising order"),
        ({"ranks": (1, 512)}, "from 1 to 256"),
        ({"at": 200}, "give a rank among"),
        ({"num_seeds": 0}, "1 or more"),
        ({"high": 0.95}, "cannot be planted"),
    ],
)
def test_what_cannot_be_planted_is_refused_and_nothing_is_written(tmp_path, change, fix):
    with pytest.raises(UserError, match=fix):
        write_planted(tmp_path / "plant", replace(SMALL, **change))
    assert not (tmp_path / "plant").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "note").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        write_planted(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["note"]
