"""What a study's grid expands to."""

import math
from dataclasses import replace

import pytest

from rankshift.arms import Arm, GivenFacts, expand_arms
from rankshift.defence import Defences
from rankshift.grid import Derived, FullFinetunes, Grid, Subset
from rankshift.study import Base, Data, Evaluation, GivenModel, Study, Training

STUDY = Study(
    name="demo",
    base=Base("organism"),
    data=Data(task="insecure", twin="secure"),
    grid=Grid(
        ranks=(1, 8, 64),
        seeds=(1, 2, 3),
        scalings=("alpha/rank", "alpha/sqrt(rank)"),
        alphas=(64.0,),
        learning_rates=(1e-3, 2e-3),
        full_learning_rates=(1e-4,),
        twin_seeds=(2,),
    ),
    training=Training(steps=4, checkpoints=(2, 4)),
    evaluation=Evaluation(suites=("held-out",)),
)


def test_the_arms_are_the_base_and_the_product_of_the_lists():
    arms = expand_arms(STUDY)
    cells_per_seed = 2 * 1 * 2 * 3 + 1  # scalings, alphas, learning rates, ranks; full
    assert len(arms) == 1 + cells_per_seed * 3 + cells_per_seed * 1
    assert [arm.role for arm in arms].count("base") == 1
    assert arms[0] == Arm("base", "base")


def test_only_twin_seeds_get_a_twin_and_each_twin_has_a_task_arm_of_its_own():
    arms = expand_arms(STUDY)
    twins = [arm for arm in arms if arm.role == "twin"]
    assert {arm.seed for arm in twins} == {2}
    assert {arm.dataset for arm in twins} == {"secure"}
    partners = {replace(arm, role="task", dataset="insecure") for arm in twins}
    assert partners == {arm for arm in arms if arm.role == "task" and arm.seed == 2}


def test_without_a_twin_dataset_there_is_no_twin():
    study = replace(STUDY, data=Data(task="insecure"))
    assert {arm.role for arm in expand_arms(study)} == {"base", "task"}


def test_alpha_2r_is_twice_each_rank():
    study = replace(STUDY, grid=replace(STUDY.grid, alphas=("2r",)))
    alphas = {arm.rank: arm.alpha for arm in expand_arms(study) if arm.method == "lora"}
    assert alphas == {1: 2.0, 8: 16.0, 64: 128.0}


def test_alpha_2r_and_its_value_are_one_arm():
    grid = Grid((8, 16), (1,), ("alpha/rank",), ("2r", 16.0), (1e-3,))
    study = replace(STUDY, grid=grid, data=Data("insecure"))
    found = [(arm.rank, arm.alpha) for arm in expand_arms(study) if arm.method == "lora"]
    assert sorted(found) == [(8, 16.0), (16, 16.0), (16, 32.0)]


@pytest.mark.parametrize(
    ("rank", "alpha", "scaling", "scale", "u"),
    [
        # By hand, with learning rate 1/1000: u = scale x rank / 1000.
        (1, 64.0, "alpha/rank", 64.0, 0.064),
        (64, 64.0, "alpha/rank", 1.0, 0.064),
        (512, 64.0, "alpha/rank", 0.125, 0.064),
        (16, 64.0, "alpha/sqrt(rank)", 16.0, 0.256),
        (256, 64.0, "alpha/sqrt(rank)", 4.0, 1.024),
        (4, 8.0, "alpha/rank", 2.0, 0.008),
    ],
)
def test_scale_and_early_step_size_follow_the_convention(rank, alpha, scaling, scale, u):
    arm = Arm("lora", "task", "d", rank, alpha, scaling, learning_rate=1e-3, seed=1)
    assert arm.scale == pytest.approx(scale, rel=1e-12)
    assert arm.u == pytest.approx(u, rel=1e-12)


def test_rank_changes_the_early_step_size_only_under_the_square_root():
    def spread(scaling):
        low, high = (Arm("lora", "task", "d", r, 64.0, scaling, 1e-3, 1).u for r in (2, 512))
        assert low is not None
        assert high is not None
        return high / low

    assert spread("alpha/rank") == pytest.approx(1.0)
    assert spread("alpha/sqrt(rank)") == pytest.approx(math.sqrt(512 / 2))


def test_full_finetuning_and_the_base_have_no_scale():
    others = [arm for arm in expand_arms(STUDY) if arm.method != "lora"]
    assert {(arm.scale, arm.u, arm.rank) for arm in others} == {(None, None, None)}


def test_labels_tell_arms_of_one_learning_rate_apart():
    grid = replace(STUDY.grid, scalings=("alpha/rank",), learning_rates=(1e-3,))
    labels = [arm.label for arm in expand_arms(replace(STUDY, grid=grid))]
    assert len(set(labels)) == len(labels)
    assert {"base", "rank 64 seed 3", "rank 1 seed 2 twin", "full seed 2 twin"} <= set(labels)


def test_every_set_of_modules_meets_every_set_of_layers():
    sets = {"target_modules": (("q_proj", "v_proj"), ("down_proj",)), "layers": ((1, 0), (2,))}
    arms = expand_arms(replace(STUDY, grid=replace(STUDY.grid, **sets)))
    lora = [arm for arm in arms if arm.method == "lora"]
    assert {arm.subset for arm in lora} == {
        Subset(("q_proj", "v_proj"), (0, 1)),
        Subset(("q_proj", "v_proj"), (2,)),
        Subset(("down_proj",), (0, 1)),
        Subset(("down_proj",), (2,)),
    }
    assert len(arms) - len(expand_arms(STUDY)) == 3 * (len(expand_arms(STUDY)) - 1 - 4)  # no full
    labels = [arm.label for arm in lora if (arm.rank, arm.seed, arm.role) == (8, 2, "twin")]
    assert "rank 8 (q_proj+v_proj in layers 0-1) seed 2 twin" in labels
    assert "rank 8 (down_proj in layers 2) seed 2 twin" in labels


def test_given_models_come_last_with_what_files_and_study_say_of_them():
    models = (
        GivenModel("small", "a/b", dataset="betley:insecure", seed=3),
        GivenModel("whole", "c", role="twin"),
        GivenModel("patched", "d"),
    )
    facts = (
        GivenFacts("whole", "2" * 64, "model"),
        GivenFacts("small", "1" * 64, "adapter", 16, 32.0, "alpha/rank", ("q_proj",), (1,)),
        GivenFacts("patched", "3" * 64, "adapter", 8, 8.0, "alpha/rank", ("q_proj",), uneven=True),
    )
    study = replace(STUDY, models=models)
    assert expand_arms(study) == expand_arms(STUDY)  # what is not found is no arm
    *ours, small, whole, patched = expand_arms(study, facts)
    assert ours == expand_arms(STUDY)
    assert (small.label, whole.label) == ("small", "whole twin")
    assert (small.rank, small.scale, small.u, small.seed) == (16, 2.0, None, 3)
    assert (small.dataset, small.subset) == ("betley:insecure", Subset(("q_proj",), (1,)))
    assert patched.scale is None
    assert [arm.is_given for arm in (ours[0], ours[1], small, whole)] == [False, False, True, True]
    assert [arm.is_trained for arm in (ours[0], ours[1], small)] == [False, True, False]


def test_a_rate_that_is_had_from_u_gives_every_rank_that_u():
    grid = Grid(
        ranks=(1, 4, 64),
        seeds=(1,),
        scalings=("alpha/rank", "alpha/sqrt(rank)"),
        alphas=(16.0, "2r"),
        learning_rates=(),
        us=(0.064, 1.024),
    )
    arms = [arm for arm in expand_arms(replace(STUDY, grid=grid)) if arm.method == "lora"]
    assert {round(arm.u, 12) for arm in arms if arm.u is not None} == {0.064, 1.024}
    for arm in arms:
        assert arm.scale is not None
        assert arm.rank is not None
        assert arm.learning_rate == pytest.approx((arm.u or 0) / (arm.scale * arm.rank))


def test_frozen_factors_and_full_finetunes_of_other_kinds_are_arms_of_their_own():
    sgd = FullFinetunes((0.1,), "sgd", "adapted")
    grid = replace(
        STUDY.grid, trains_a=(True, False), full_learning_rates=(1e-4,), full=(sgd,), seeds=(1,)
    )
    arms = expand_arms(replace(STUDY, grid=grid))
    assert {arm.trains_a for arm in arms if arm.method == "lora"} == {True, False}
    full = [arm for arm in arms if (arm.method, arm.role) == ("full", "task")]
    assert [(arm.optimizer, arm.target_modules != ()) for arm in full] == [
        (None, False),
        ("sgd", True),
    ]
    assert [arm.label for arm in full] == ["full seed 1", "full (adapted layers) by sgd seed 1"]


def test_an_update_is_cut_only_to_a_lower_rank_and_scaled_at_every_rank():
    derived = Derived(truncations=(1, 4), norms=(3.0,))
    grid = replace(STUDY.grid, ranks=(1, 4, 16), seeds=(1,), twin_seeds=())
    arms = expand_arms(replace(STUDY, grid=grid, derived=derived))
    made = [arm for arm in arms if arm.is_derived]
    cuts = {(arm.rank, arm.truncated_to) for arm in made if arm.truncated_to}
    assert cuts >= {(4, 1), (16, 1), (16, 4)}
    assert not cuts & {(1, 1), (1, 4), (4, 4)}
    assert all(arm.source in arms and arm.source.is_trained for arm in made)
    assert not any(arm.is_trained for arm in made)
    assert {arm.rank for arm in made if arm.norm_to == 3.0} >= {1, 4, 16}


def test_a_derived_arm_is_run_as_finished_weights_and_has_its_sources_steps():
    derived = Derived(truncations=(1,), norms=(3.0,))
    grid = replace(STUDY.grid, ranks=(4,), seeds=(1,), full_learning_rates=(1e-4,))
    arms = expand_arms(replace(STUDY, grid=grid, derived=derived))
    kinds = {(arm.label, arm.made_method) for arm in arms if arm.role == "task"}
    assert kinds == {
        ("rank 4 seed 1", "lora"),
        ("full seed 1", "full"),
        ("rank 4 cut to rank 1 seed 1", "adapter"),
        ("rank 4 scaled to norm 3 seed 1", "adapter"),
        ("full cut to rank 1 seed 1", "adapter"),
        ("full scaled to norm 3 seed 1", "model"),
    }
    assert all(arm.has_steps == (arm.method != "base") for arm in arms)


def test_an_arm_is_plain_where_the_study_trains_it_without_a_defence():
    grid = replace(STUDY.grid, ranks=(4,), seeds=(1,), defences=(Defences("spectral", (0.1,)),))
    arms = expand_arms(replace(STUDY, grid=grid, derived=Derived(norms=(3.0,))))
    task = {arm.label: arm.is_plain for arm in arms if arm.role != "twin" and arm.method != "full"}
    assert task == {
        "base": False,
        "rank 4 seed 1": True,
        "rank 4, spectral 0.1, seed 1": False,
        "rank 4 scaled to norm 3 seed 1": False,
    }
