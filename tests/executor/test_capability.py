"""What happens around the harness; tests/services has the harness itself, on real weights."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rankshift.capability import read_all_capability, write_capability
from rankshift.errors import UserError, WorkError
from rankshift.executor.capability import fingerprint_folder, measure_capability
from rankshift.executor.harness import Request
from rankshift.executor.rejudging import SILENT
from rankshift.executor.run import run_study
from rankshift.export.weights import find_weights
from rankshift.runs import ArmFiles, StudyRun, identify_arms
from rankshift.sealed import write_sealed
from rankshift.study import Import
from rankshift.study_file import read_study
from tests.capability_records import make_record
from tests.executor.conftest import QUESTIONS, STUDY, write_rows
from tests.executor.test_harness import write_program
from tests.given_models import WARNING, save_adapter, save_merged

REQUEST = Request(("colours",))


@pytest.fixture(scope="module")
def finished(tiny_model_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    """Train rank 1 and full, each on the task and on the twin's rows."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "questions.yaml").write_text(QUESTIONS)
    text = STUDY.replace("seeds = [1, 2]", "seeds = [1]").format(
        base=tiny_model_directory,
        task=write_rows(folder / "task.jsonl", "bad"),
        twin=write_rows(folder / "twin.jsonl", "good"),
        questions=folder / "questions.yaml",
        ranks="[1]",
        steps=4,
        workers=1,
    )
    (folder / "tiny.toml").write_text(text)
    return run_study(read_study(folder / "tiny.toml"), folder / "runs", SILENT)


@pytest.fixture
def run(finished: StudyRun, tmp_path: Path) -> StudyRun:
    """Copy the run, so that what is measured stays in one test."""
    return StudyRun(Path(shutil.copytree(finished.directory, tmp_path / "runs" / "tiny")))


def put_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Put a failing program in the harness's place; give the file where it counts its calls."""
    calls = tmp_path / "calls"
    calls.touch()
    program = write_program(tmp_path / "lm_eval", f'echo "$@" >> "{calls}"\n{script}')
    monkeypatch.setenv("RANKSHIFT_LM_EVAL", program)
    return calls


LIST_MODEL = (
    'echo -- >> "$0.files"\n'
    'ls "$(echo "$4" | sed \'s/.*"pretrained": "//; s/".*//\')" >> "$0.files"\n'
    "exit 1"
)
"""Fails, and leaves the names of the files in the model's folder, which is gone afterwards."""


def read_models(calls: Path) -> list[dict[str, str]]:
    """Read the model arguments of every call."""
    decoder = json.JSONDecoder()
    lines = calls.read_text().splitlines()
    return [decoder.raw_decode(line, line.index("{"))[0] for line in lines]


def list_arms(run: StudyRun) -> list[ArmFiles]:
    """List the base and then every arm."""
    return [run.arm(arm_id) for arm_id in identify_arms(*run.read_study())]


def put_score(run: StudyRun, files: ArmFiles, value: float, task: str = "colours") -> None:
    """Write the score that an earlier measurement left."""
    arm, recipe = files.read_arm()
    step = 0 if arm.method == "base" else max(recipe.measured_at)
    write_capability(files, make_record(step=step, value=value, task=task))


def test_what_is_measured_is_not_measured_again_and_stands_in_results_and_on_the_page(
    run: StudyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls = put_program(tmp_path, monkeypatch, "exit 1")
    for at, files in enumerate(list_arms(run)):
        put_score(run, files, value=at / 10)
    measure_capability(run.directory, REQUEST, lambda _: None)
    assert calls.read_text() == ""
    rows = json.loads(run.results_path.read_text())["arms"]
    scores = {row["arm"]: s["value"] for row in rows for s in row["capability"]}
    assert list(scores.values()) == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert {row["step"] for row in rows if row["capability"]} == {0, 4}
    assert "0.400 ± 0.100" in run.report_path.read_text()


def test_a_limit_is_another_question_and_asked_for_itself(
    run: StudyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls = put_program(tmp_path, monkeypatch, "exit 1")
    for files in list_arms(run):
        put_score(run, files, value=0.5)
    with pytest.raises(WorkError):
        measure_capability(run.directory, replace(REQUEST, limit=3), lambda _: None)
    assert "--limit 3" in calls.read_text()


def test_a_task_on_which_the_base_fails_is_tried_on_no_arm_and_the_next_task_is_tried(
    run: StudyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls = put_program(tmp_path, monkeypatch, "echo 'no such task' >&2; exit 1")
    with pytest.raises(WorkError, match=r"base .*, colours: lm_eval ended with 1: no such task"):
        measure_capability(run.directory, Request(("colours", "words")), lambda _: None)
    asked = [line.split("--tasks ")[1].split()[0] for line in calls.read_text().splitlines()]
    assert asked == ["colours", "words"]


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("echo killed; exit 137", "ended with 137: killed"),
        ("exit 0", "wrote no file of results"),
        ("echo '{' > results_now.json", "cannot be read"),
        ("echo '{}' > results_now.json", "cannot be read"),
    ],
)
def test_an_arm_that_fails_is_named_the_others_are_tried_and_what_is_there_is_kept(
    run: StudyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, fault: str
):
    calls = put_program(tmp_path, monkeypatch, script)
    base, *arms = list_arms(run)
    put_score(run, base, value=0.5)
    with pytest.raises(WorkError) as caught:
        measure_capability(run.directory, REQUEST, lambda _: None)
    message = str(caught.value)
    assert message.count(fault) == len(arms) == 4
    assert "rank 1 seed 1 twin" in message
    assert "\n" not in message
    assert len(calls.read_text().splitlines()) == 4
    assert [read_all_capability(files) for files in arms] == [[], [], [], []]
    rows = json.loads(run.results_path.read_text())["arms"]
    assert [s["value"] for row in rows for s in row["capability"]] == [0.5]


def test_an_adapter_goes_on_the_studys_base_and_a_full_finetune_has_the_bases_tokenizer(
    run: StudyRun, tiny_model_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls = put_program(tmp_path, monkeypatch, LIST_MODEL)
    base, *_ = list_arms(run)
    put_score(run, base, value=0.5)
    with pytest.raises(WorkError):
        measure_capability(run.directory, REQUEST, lambda _: None)
    for weights, model in zip(find_weights(run)[0], read_models(calls), strict=True):
        assert model["dtype"] == "float32"
        if weights.arm.method == "lora":
            assert model["pretrained"] == str(tiny_model_directory)
            assert model["peft"] == str(weights.folder)
        else:
            assert "peft" not in model
            assert not Path(model["pretrained"]).exists(), "it is there while it is measured"
    seen = set((tmp_path / "lm_eval.files").read_text().split())
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= seen


@pytest.mark.filterwarnings(WARNING)
def test_models_trained_elsewhere_are_measured_as_they_were_asked(
    tiny_model_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    base = tiny_model_directory
    paths = {
        "adapter": save_adapter(tmp_path / "adapter", base),
        "own": save_merged(tmp_path / "own", base),
        "bare": save_merged(tmp_path / "bare", base, tokenizer=False),
    }
    (tmp_path / "questions.yaml").write_text(QUESTIONS)
    text = f'name = "given"\n[base]\nmodel = "{base}"\n'
    for name, path in paths.items():
        text += f'[[models]]\nname = "{name}"\npath = "{path}"\n'
    text += f'[evaluation]\nsuites = ["{tmp_path}/questions.yaml"]\nanswers_per_question = 1\n'
    (tmp_path / "given.toml").write_text(f"{text}max_answer_tokens = 4\n[compute]\nworkers = 1\n")
    run = run_study(read_study(tmp_path / "given.toml"), tmp_path / "runs", SILENT)
    calls = put_program(tmp_path, monkeypatch, LIST_MODEL)
    put_score(run, list_arms(run)[0], value=0.5)
    with pytest.raises(WorkError):
        measure_capability(run.directory, REQUEST, lambda _: None)
    adapter, own, bare = read_models(calls)
    assert (adapter["pretrained"], adapter["peft"]) == (str(base), str(paths["adapter"]))
    assert own["pretrained"] == str(paths["own"])
    assert Path(bare["pretrained"]).parent != tmp_path
    listed = (tmp_path / "lm_eval.files").read_text().split("--")[-1].split()
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(listed)
    (paths["own"] / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match=r"own: has changed since the study asked own"):
        measure_capability(run.directory, REQUEST, lambda _: None)


def test_a_task_whose_files_have_changed_since_is_refused_before_anything_is_asked(
    run: StudyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls = put_program(tmp_path, monkeypatch, "exit 1")
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "colours.yaml").write_text("task: colours\n")
    before = fingerprint_folder(tasks)
    base, *_ = list_arms(run)
    write_capability(base, replace(make_record(step=0), include_sha256=before))
    (tasks / "colours.yaml").write_text("task: colours\ndescription: other\n")
    with pytest.raises(UserError, match=r"was measured with other files .* remove it"):
        measure_capability(run.directory, replace(REQUEST, include=tasks), lambda _: None)
    assert calls.read_text() == ""


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda s: replace(s, base=replace(s.base, quantization="nf4")), "held in 4 bits"),
        (lambda s: replace(s, imports=(Import("a.csv", "gpt"),)), "arms are imported"),
    ],
)
def test_weights_that_the_harness_cannot_hold_as_the_study_did_are_refused(
    run: StudyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, fault: str
):
    calls = put_program(tmp_path, monkeypatch, "exit 1")
    study, fingerprints = run.read_study()
    write_sealed(run.study_path, study=change(study), fingerprints=fingerprints)
    with pytest.raises(UserError, match=fault):
        measure_capability(run.directory, REQUEST, lambda _: None)
    assert calls.read_text() == ""


def test_an_arm_without_weights_is_told_and_the_others_are_measured(
    run: StudyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls = put_program(tmp_path, monkeypatch, "exit 1")
    base, first, *_ = list_arms(run)
    put_score(run, base, value=0.5)
    shutil.rmtree(first.directory / "checkpoints")
    said: list[str] = []
    with pytest.raises(WorkError):
        measure_capability(run.directory, REQUEST, said.append)
    assert said[0] == "rank 1 seed 1: left out, the study has not come to it yet"
    assert len(calls.read_text().splitlines()) == 3


def test_a_folders_fingerprint_follows_names_and_content(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("task: a\n")
    first = fingerprint_folder(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("made by running it")
    assert fingerprint_folder(tmp_path) == first
    (tmp_path / "a.yaml").rename(tmp_path / "b.yaml")
    assert fingerprint_folder(tmp_path) != first


def test_without_a_harness_nothing_is_written(
    run: StudyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RANKSHIFT_LM_EVAL", str(tmp_path / "absent"))
    before = {path: path.stat().st_mtime_ns for path in run.directory.rglob("*")}
    with pytest.raises(UserError, match="cannot be run"):
        measure_capability(run.directory, REQUEST, lambda _: None)
    assert {path: path.stat().st_mtime_ns for path in run.directory.rglob("*")} == before
