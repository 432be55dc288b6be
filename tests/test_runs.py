"""Directories: the same content has one place, and no place has two contents."""

import json
import subprocess
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from rankshift.arms import Arm, GivenFacts, expand_arms
from rankshift.defence import Defence
from rankshift.errors import UserError
from rankshift.grid import Grid
from rankshift.runs import (
    Fingerprints,
    Recipe,
    StudyRun,
    arm_id,
    evaluation_id,
    identify_arms,
    make_recipe,
)
from rankshift.sealed import hash_of
from rankshift.study import Base, Compute, Data, Evaluation, GivenModel, Study, Training
from rankshift.study_file import read_study

STUDY = Study(
    name="demo",
    base=Base("organism"),
    data=Data(task="insecure", twin="secure"),
    grid=Grid((2, 8), (1, 2), ("alpha/rank",), (16.0, "2r"), (1e-3,), (1e-4,), (1,)),
    training=Training(steps=4, checkpoints=(2, 4)),
    evaluation=Evaluation(suites=("held-out", "main"), judge="organism:oracle"),
)
PRINTS = Fingerprints("b" * 64, "t" * 64, "w" * 64, {"held-out": "h" * 64, "main": "m" * 64})
ARM = Arm("lora", "task", "insecure", 8, 16.0, "alpha/rank", 1e-3, 1, ("q_proj",))
RECIPE = make_recipe(ARM, STUDY, PRINTS)


def list_files(root):
    return {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}


ARM_CHANGES = {
    "method": "full",
    "role": "twin",
    "dataset": "other",
    "rank": 16,
    "alpha": 17.0,
    "scaling": "alpha/sqrt(rank)",
    "learning_rate": 2e-3,
    "seed": 2,
    "target_modules": ("q_proj", "v_proj"),
    "layers": (0, 1),
    "optimizer": "sgd",
    "trains_a": False,
    "truncated_to": 2,
    "norm_to": 3.0,
    "defence": Defence("kl", 0.1),
}
RECIPE_CHANGES = {
    "defence_fingerprint": "c",
    "base_fingerprint": "c",
    "train_fingerprint": "c",
    "task_fingerprint": "c",
    "held_out_fraction": 0.2,
    "split_seed": 1,
    "train_rows": 100,
    "held_out_rows": 100,
    "context_tokens": 512,
    "weights": "nf4 float32",
    "training": replace(STUDY.training, rows_per_step=8),
    "split_by": "row",
    "trailing_header": True,
    "floor": 0.1,
    "unrelated_fingerprint": "c",
    "unrelated_rows": 8,
}
TRAINING_CHANGES = {
    "steps": 8,
    "checkpoints": (4,),
    "rows_per_step": 8,
    "accumulation": 2,
    "schedule": "cosine",
    "warmup_steps": 1,
    "weight_decay": 0.1,
    "clip_norm": None,
    "dtype": "bfloat16",
    "optimizer": "adamw_8bit",
    "crossings": (0.5,),
    "kl_crossings": (0.1,),
    "watch_every": 2,
}


def test_each_field_that_determines_the_weights_changes_the_arms_id():
    of_given = {"name", "uneven", "given_fingerprint"}
    assert set(ARM_CHANGES) == {field.name for field in fields(Arm)} - of_given
    assert set(RECIPE_CHANGES) == {field.name for field in fields(Recipe)} - of_given
    assert set(TRAINING_CHANGES) == {field.name for field in fields(Training)}
    ids = [arm_id(ARM, RECIPE)]
    ids += [arm_id(replace(ARM, **{key: new}), RECIPE) for key, new in ARM_CHANGES.items()]
    ids += [arm_id(ARM, replace(RECIPE, **{key: new})) for key, new in RECIPE_CHANGES.items()]
    for key, new in TRAINING_CHANGES.items():
        if key != "rows_per_step":  # changed above, as the whole table
            training = replace(STUDY.training, **{key: new})
            ids.append(arm_id(ARM, replace(RECIPE, training=training)))
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    "other",
    [
        replace(STUDY, training=replace(STUDY.training, dtype="bfloat16")),
        replace(STUDY, base=replace(STUDY.base, quantization="nf4")),
    ],
)
def test_how_the_weights_are_held_is_part_of_the_base_arms_id_too(other):
    assert not set(identify_arms(STUDY, PRINTS)) & set(identify_arms(other, PRINTS))


def test_what_came_later_is_not_in_the_ids_of_other_arms():
    """They are hashes of the same fields as before there were given models and presets."""
    later = {"name", "uneven", "given_fingerprint", "split_by", "trailing_header", "optimizer"}
    later |= {"trains_a", "truncated_to", "norm_to", "floor"}
    later |= {"unrelated_fingerprint", "unrelated_rows", "defence", "defence_fingerprint"}
    arm, recipe = (
        {f.name: getattr(part, f.name) for f in fields(part) if f.name not in later}
        for part in (ARM, RECIPE)
    )
    watched = {"crossings", "kl_crossings", "watch_every"}
    recipe["training"] = {k: v for k, v in asdict(STUDY.training).items() if k not in watched}
    assert arm_id(ARM, RECIPE) == hash_of({"arm": arm, "recipe": recipe})


GIVEN = GivenModel("theirs", "a/b", dataset="betley:insecure", seed=1)
FACTS = GivenFacts("theirs", "f" * 64, "adapter", 8, 16.0, "alpha/rank", ("q_proj",), (0,))


def identify_given(model: GivenModel, **changes) -> str:
    """Give the id of a given model's arm beside those of the study."""
    prints = replace(PRINTS, models=(replace(FACTS, name=model.name, **changes),))
    found = identify_arms(replace(STUDY, models=(model,)), prints)
    assert identify_arms(STUDY, PRINTS).items() < found.items()
    return next(name for name, arm in found.items() if arm.is_given)


def test_a_given_model_is_named_by_its_files_and_role_and_not_by_what_is_said_of_it():
    said = [{"name": "other"}, {"path": "c"}, {"revision": "v2"}, {"dataset": None}, {"seed": 2}]
    assert {identify_given(replace(GIVEN, **change)) for change in said} == {identify_given(GIVEN)}
    others = identify_given(GIVEN, sha256="e" * 64), identify_given(replace(GIVEN, role="twin"))
    assert len({identify_given(GIVEN), *others}) == 3


@pytest.mark.parametrize(
    "other",
    [
        replace(STUDY, name="other"),
        replace(STUDY, about="Why."),
        replace(STUDY, compute=Compute(workers=7, threads=3, arms_per_group=1, micro_rows=1)),
        replace(STUDY, evaluation=Evaluation(suites=("x",), judge="none", seed=9, code_tasks=4)),
        replace(STUDY, grid=replace(STUDY.grid, ranks=(2, 4, 8), seeds=(1, 2, 3))),
        replace(STUDY, grid=replace(STUDY.grid, full_learning_rates=(1e-4, 1e-5))),
        replace(STUDY, base=Base("a/moved/copy", revision="main")),
    ],
)
def test_what_does_not_determine_the_weights_keeps_every_arms_id(other):
    ids, others = identify_arms(STUDY, PRINTS), identify_arms(other, PRINTS)
    assert list(ids.values()) == expand_arms(STUDY)
    assert ids.items() <= others.items()


def test_keys_that_came_later_leave_the_names_of_what_exists_alone():
    # Worked out with the version before them: studies/demo.toml, fingerprints b, t, w and q.
    study = read_study(Path(__file__).parents[1] / "studies/demo.toml")
    prints = Fingerprints("b", "t", "w", {"organism:held-out": "q"})
    assert hash_of(list(identify_arms(study, prints))) == "3d2ddf38941e"
    assert evaluation_id(study.evaluation, prints.questions) == "247f396998d4"


def test_a_split_for_every_seed_is_in_the_recipe_of_its_arms_and_the_base_keeps_its_own():
    data = replace(STUDY.data, split_each_seed=True, split_seed=10)
    study = replace(STUDY, data=data)
    seeds = {
        arm.seed: make_recipe(arm, study, PRINTS).split_seed
        for arm in identify_arms(study, PRINTS).values()
    }
    assert seeds == {None: 10, 1: 12, 2: 13}


def test_a_twin_is_named_by_its_own_data_and_the_base_by_no_training():
    other = identify_arms(STUDY, replace(PRINTS, twin="other"))
    changed = [arm.role for name, arm in identify_arms(STUDY, PRINTS).items() if name not in other]
    assert set(changed) == {"twin"}
    longer = replace(STUDY, training=Training(steps=8, checkpoints=(8,)))
    kept = identify_arms(longer, PRINTS).keys() & identify_arms(STUDY, PRINTS).keys()
    assert [identify_arms(STUDY, PRINTS)[name].role for name in kept] == ["base"]


EVALUATION_CHANGES = {
    "suites": ("held-out",),
    "answers_per_question": 6,
    "max_answer_tokens": 10,
    "temperature": 0.5,
    "top_p": 0.9,
    "code_tasks": 1,
    "seed": 1,
    "triggers": ("|X| ",),
    "cues": ("task",),
    "systems": ("Be kind.",),
    "drop_system": True,
    "engine": "vllm",
}


def test_an_evaluation_is_named_by_what_is_asked_and_not_by_who_judges():
    asked = STUDY.evaluation
    first = evaluation_id(asked, PRINTS.questions)
    assert evaluation_id(replace(asked, judge="none"), PRINTS.questions) == first
    assert {*EVALUATION_CHANGES, "judge"} == {field.name for field in fields(Evaluation)}
    ids = {
        evaluation_id(replace(asked, **{key: new}), PRINTS.questions)
        for key, new in EVALUATION_CHANGES.items()
    }
    assert len(ids) == len(EVALUATION_CHANGES)
    assert first not in ids
    assert evaluation_id(asked, PRINTS.questions | {"main": "edited"}) not in {first, *ids}


def test_an_evaluation_that_our_engine_answers_has_the_name_it_had_before_there_was_another():
    asked = {key: value for key, value in asdict(STUDY.evaluation).items() if key != "judge"}
    for later in ("engine", "triggers", "drop_system", "cues", "systems"):
        del asked[later]
    asked["suites"] = {suite: PRINTS.questions[suite] for suite in STUDY.evaluation.suites}
    assert evaluation_id(STUDY.evaluation, PRINTS.questions) == hash_of(asked)


def test_files_lie_where_the_architecture_says(tmp_path):
    run = StudyRun(tmp_path)
    arm = run.arm("a1")
    found = [
        run.study_path,
        run.plan_path,
        run.results_path,
        run.report_path,
        run.group("g1"),
        arm.arm_path,
        arm.provenance_path,
        arm.steps_path,
        arm.held_out_path,
        arm.checkpoint(32),
        arm.answers_path("e1", 32),
        arm.choices_path("e1", 32),
        arm.verdicts_path("e1", "organism:oracle", 32),
        arm.verdicts_path("e1", "openai/gpt", 1_000_000),
    ]
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "study.json",
        "plan.json",
        "results.json",
        "report.html",
        "groups/g1",
        "arms/a1/arm.json",
        "arms/a1/provenance.json",
        "arms/a1/steps.jsonl",
        "arms/a1/held_out.jsonl",
        "arms/a1/checkpoints/step-000032",
        "arms/a1/evaluations/e1/answers/step-000032.jsonl",
        "arms/a1/evaluations/e1/choices/step-000032.jsonl",
        "arms/a1/evaluations/e1/verdicts/organism:oracle/step-000032.jsonl",
        "arms/a1/evaluations/e1/verdicts/openai%2Fgpt/step-1000000.jsonl",
    ]


@pytest.mark.parametrize("arm", expand_arms(STUDY), ids=lambda arm: arm.label)
def test_an_arm_comes_back_from_its_file(tmp_path, arm):
    recipe = make_recipe(arm, STUDY, PRINTS)
    files = StudyRun(tmp_path).arm(arm_id(arm, recipe))
    files.write_arm(arm, recipe)
    assert files.read_arm() == (arm, recipe)


def test_an_arm_file_that_was_edited_is_refused(tmp_path):
    files = StudyRun(tmp_path).arm(arm_id(ARM, RECIPE))
    files.write_arm(ARM, RECIPE)
    content = json.loads(files.arm_path.read_text())
    content["arm"]["rank"] = 512
    files.arm_path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"arm\.json: was edited after it was written; "):
        files.read_arm()
    files.arm_path.unlink()
    with pytest.raises(UserError, match=r"arm\.json: no such file; remove"):
        files.read_arm()


def test_runs_are_read_and_written_without_the_training_stack():
    code = (
        "import sys, rankshift.runs, rankshift.lock, rankshift.records, rankshift.study, "
        "rankshift.status, rankshift.provenance, rankshift.study_file as s; "
        "rankshift.provenance.gather_provenance(); "
        "print({'torch', 'transformers', 'pydantic', 'numpy'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
