"""A directory has one study: nothing that is another's is taken or overwritten."""

from dataclasses import replace

import pytest

from rankshift.arms import GivenFacts
from rankshift.errors import UserError
from rankshift.grid import Grid
from rankshift.opening import open_run
from rankshift.runs import (
    Fingerprints,
)
from rankshift.study import Base, Compute, Data, Evaluation, GivenModel, Study, Training

STUDY = Study(
    name="demo",
    base=Base("organism"),
    data=Data(task="insecure", twin="secure"),
    grid=Grid((2, 8), (1, 2), ("alpha/rank",), (16.0, "2r"), (1e-3,), (1e-4,), (1,)),
    training=Training(steps=4, checkpoints=(2, 4)),
    evaluation=Evaluation(suites=("held-out", "main"), judge="organism:oracle"),
)
PRINTS = Fingerprints("b" * 64, "t" * 64, "w" * 64, {"held-out": "h" * 64, "main": "m" * 64})
GIVEN = GivenModel("theirs", "a/b", dataset="betley:insecure", seed=1)
FACTS = GivenFacts("theirs", "f" * 64, "adapter", 8, 16.0, "alpha/rank", ("q_proj",), (0,))


def list_files(root):
    return {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}


def test_a_study_directory_takes_other_given_models_and_reads_them_back(tmp_path):
    open_run(STUDY, PRINTS, tmp_path)
    asked = replace(STUDY, models=(GIVEN,)), replace(PRINTS, models=(FACTS,))
    assert open_run(*asked, tmp_path).read_study() == asked


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
