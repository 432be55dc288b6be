"""Directories: the same content has one place, and no place has two contents."""

import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from rankshift.arms import Arm, expand_arms
from rankshift.errors import UserError
from rankshift.runs import (
    Fingerprints,
    Recipe,
    StudyRun,
    arm_id,
    evaluation_id,
    identify_arms,
    make_recipe,
    open_run,
)
from rankshift.sealed import hash_of
from rankshift.study import Base, Compute, Data, Evaluation, Grid, Study, Training
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
}
RECIPE_CHANGES = {
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
}


def test_each_field_that_determines_the_weights_changes_the_arms_id():
    assert set(ARM_CHANGES) == {field.name for field in fields(Arm)}
    assert set(RECIPE_CHANGES) == {field.name for field in fields(Recipe)}
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
    "drop_system": True,
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


def test_a_study_finds_its_directory_again_and_changes_nothing_there(tmp_path):
    run = open_run(STUDY, PRINTS, tmp_path / "runs")
    assert run.directory == tmp_path / "runs" / "demo"
    assert run.read_study() == (STUDY, PRINTS)
    before = run.study_path.stat()
    assert open_run(STUDY, PRINTS, tmp_path / "runs") == run
    assert run.study_path.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize(
    "other",
    [
        replace(STUDY, about="Why."),
        replace(STUDY, compute=Compute(workers=7)),
        replace(STUDY, evaluation=replace(STUDY.evaluation, judge="none", temperature=0.5)),
        replace(STUDY, grid=replace(STUDY.grid, ranks=(2, 4, 8))),
        replace(STUDY, grid=replace(STUDY.grid, ranks=(8,), seeds=(1,), scalings=())),
    ],
)
def test_what_arms_do_not_share_may_change_and_is_remembered(tmp_path, other):
    open_run(STUDY, PRINTS, tmp_path)
    prints = replace(PRINTS, questions={"held-out": "edited", "main": "m"})
    assert open_run(other, prints, tmp_path).read_study() == (other, prints)


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("base", {"model": "other"}, "base.model was 'organism', now 'other'"),
        ("base", {"revision": "v1"}, "base.revision was None, now 'v1'"),
        ("data", {"twin": None, "split_seed": 5}, "data.twin was 'secure', now None"),
        ("data", {"held_out_fraction": 0.2}, "data.held_out_fraction was 0.1, now 0.2"),
        ("data", {"split_by": "row"}, "data.split_by was 'prompt', now 'row'"),
        ("data", {"split_each_seed": True}, "data.split_each_seed was False, now True"),
        ("data", {"trailing_header": True}, "data.trailing_header was False, now True"),
        ("training", {"steps": 8, "checkpoints": (8,)}, "training.steps was 4, now 8"),
        ("training", {"checkpoints": (4,)}, "training.checkpoints was (2, 4), now (4,)"),
        ("training", {"clip_norm": None}, "training.clip_norm was 1.0, now None"),
    ],
)
def test_another_study_in_the_same_place_is_refused_and_nothing_is_written(
    tmp_path, table, change, message
):
    directory = open_run(STUDY, PRINTS, tmp_path).directory
    before = list_files(tmp_path)
    other = replace(STUDY, about="new", **{table: replace(getattr(STUDY, table), **change)})
    with pytest.raises(UserError) as refused:
        open_run(other, PRINTS, tmp_path)
    assert str(refused.value) == (
        f"{directory} was made by a different study: {message}; "
        f"give this study another name, or remove {directory}"
    )
    assert list_files(tmp_path) == before


@pytest.mark.parametrize("name", ["base", "task", "twin"])
def test_changed_content_under_the_same_name_is_another_study(tmp_path, name):
    open_run(STUDY, PRINTS, tmp_path)
    with pytest.raises(UserError, match=f"fingerprints.{name} was '.*', now 'edited'"):
        open_run(STUDY, replace(PRINTS, **{name: "edited"}), tmp_path)


def test_somebody_elses_directory_is_refused_and_nothing_is_written(tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError) as refused:
        open_run(STUDY, PRINTS, tmp_path)
    assert str(refused.value) == (
        f"{tmp_path}/demo holds thesis.tex but no study.json, so whose it is cannot be told; "
        "give this study another name, or move those files away"
    )
    assert len(list_files(tmp_path)) == 1
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"{tmp_path}/file is a file where a directory is needed"):
        open_run(replace(STUDY, name="file"), PRINTS, tmp_path)


def test_what_a_killed_first_use_leaves_is_no_obstacle(tmp_path):
    (tmp_path / "demo").mkdir()
    for name in ("lock", "lock.json", ".study.json.123.tmp"):
        (tmp_path / "demo" / name).touch()
    assert open_run(STUDY, PRINTS, tmp_path).read_study() == (STUDY, PRINTS)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], r"study.json:\d+: not JSON, it was cut or edited"),
        (lambda text: "", r"study.json:1: not JSON"),
        (lambda text: text.replace('"steps": 4', '"steps": 5'), "study.json: was edited after"),
        (lambda text: text.replace('"steps": 4', '"steps": NaN'), "holds no study and finger"),
        (lambda text: '["a", "list"]', "study.json: holds no study and fingerprints"),
        (lambda text: "{}", "study.json: holds no study and fingerprints"),
    ],
)
def test_a_damaged_study_json_is_refused_by_name_and_left_alone(tmp_path, damage, message):
    run = open_run(STUDY, PRINTS, tmp_path)
    run.study_path.write_text(damage(run.study_path.read_text()))
    before = list_files(tmp_path)
    with pytest.raises(UserError, match=message) as refused:
        open_run(replace(STUDY, about="new"), PRINTS, tmp_path)
    fix = f"; restore it, or remove {run.directory} to start again"
    assert str(refused.value).endswith(fix)
    assert list_files(tmp_path) == before


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
