"""Derived arms, from the study file to the page."""

import json
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import Any

import jsonschema
import pytest

from rankshift.derivation import read_updates, updates_path
from rankshift.errors import UserError
from rankshift.eval.answering import messages, name_answer
from rankshift.eval.suite import Question
from rankshift.executor.run import Watch, run_study
from rankshift.inspection.arms import find_arm, slug_arms
from rankshift.inspection.serving import Request, load_arm
from rankshift.records import AnswerRecord, HeldOutRecord, StepRecord, read_records, write_records
from rankshift.runs import ArmFiles, StudyRun, identify_arms
from rankshift.status import describe_progress
from rankshift.study_file import read_study
from tests.given_models import WARNING

pytestmark = pytest.mark.filterwarnings(WARNING)

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/results.schema.json").read_text())
DERIVED = "[derived]\ntruncations = [1, 4]\nnorms = [0.5]\n"
MADE = (
    "rank 1 scaled to norm 0.5",
    "rank 8 cut to rank 1",
    "rank 8 cut to rank 4",
    "rank 8 scaled to norm 0.5",
    "full cut to rank 1",
    "full cut to rank 4",
    "full scaled to norm 0.5",
)


QUIET = Watch(lambda *_: None, lambda *_: None, lambda _: None)


def run(path: Path, root: Path) -> StudyRun:
    return run_study(read_study(path), root, QUIET)


def read_results(done: StudyRun) -> dict[str, Any]:
    results = json.loads(done.results_path.read_text())
    jsonschema.validate(results, SCHEMA)
    del results["timings"]
    return results


def list_files(directory: Path) -> dict[Path, bytes]:
    """Map every file without times in it to its bytes."""
    return {
        path.relative_to(directory): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in ("provenance.json", "results.json")
    }


def find_files(done: StudyRun) -> dict[str, ArmFiles]:
    study, fingerprints = done.read_study()
    return {arm.label: done.arm(key) for key, arm in identify_arms(study, fingerprints).items()}


@pytest.fixture
def write_derived(write_study: Callable[..., Path]) -> Callable[..., Path]:
    """Give a function that writes a study of ranks 1 and 8 and full finetuning, one seed each."""

    def write(ranks: str = "[1, 8]", derived: str = DERIVED) -> Path:
        path = write_study(ranks, also=("[evaluation]", f"{derived}[evaluation]"))
        text = path.read_text().replace("twin_seeds = [1]\n", "").replace("[1, 2]", "[1]")
        path.write_text("\n".join(li for li in text.splitlines() if not li.startswith("twin")))
        return path

    return write


@pytest.fixture(scope="module")
def finished() -> dict[str, StudyRun]:
    """Hold what tests that only read share."""
    return {}


@pytest.fixture
def derived_run(
    write_derived: Callable[..., Path], tmp_path: Path, finished: dict[str, StudyRun]
) -> StudyRun:
    """Run the study once; nobody may change what it left."""
    if "run" not in finished:
        finished["run"] = run(write_derived(), tmp_path / "runs")
    return finished["run"]


def test_every_finetune_gives_its_cut_and_scaled_arms_at_each_of_its_checkpoints(
    derived_run: StudyRun,
):
    results = read_results(derived_run)
    rows = {(row["label"], row["step"]): row for row in results["arms"]}
    trained = ("rank 1", "rank 8", "full")
    assert list(rows) == [("base", 0)] + [
        (f"{name} seed 1", step) for name in (*trained, *MADE) for step in (2, 4)
    ]
    for name in MADE:
        source = next(one for one in trained if name.startswith(one))
        for step in (2, 4):
            row, of = rows[(f"{name} seed 1", step)], rows[(f"{source} seed 1", step)]
            assert row["source_arm"] == of["arm"]
            assert (row["rank"], row["learning_rate"]) == (of["rank"], of["learning_rate"])
            assert row["outcomes"]["answers"] == of["outcomes"]["answers"] == 6
            assert row["task_held_out_loss"] not in (None, of["task_held_out_loss"])
            update, whole = row["update"], of["update"]
            if row["norm_to"]:
                assert update["norm"] == pytest.approx(0.5, rel=1e-5)
                assert update["stable_rank"] == pytest.approx(whole["stable_rank"], rel=1e-4)
                assert update["elsewhere"] == pytest.approx(whole["elsewhere"], rel=1e-4)
            else:
                assert update["norm"] < whole["norm"]
                assert update["effective_rank"] <= row["truncated_to"] + 1e-9
                assert (update["elsewhere"], row["effective_rank"]) == (0, row["truncated_to"])
    assert rows[("rank 8 seed 1", 4)]["update"]["a_movement"] > 0
    assert rows[("full seed 1", 4)]["update"]["a_movement"] is None
    assert rows[("base", 0)]["update"] is None
    (curve,) = results["curves"]
    assert [len(point["seeds"]) for point in curve["points"]] == [1, 1]  # no derived arm is on it
    assert [cell["category"] for cell in curve["categories"]] == ["base", "full"]
    (said,) = [gap for gap in results["not_measured"] if "cutting it to a rank" in gap]
    shares = [100 * rows[("full seed 1", step)]["update"]["elsewhere"] for step in (2, 4)]
    assert f"{min(shares):.3g} to {max(shares):.3g} % of the update's squared norm" in said
    progress = describe_progress(derived_run.directory)
    assert progress.total.is_finished
    assert progress.total.checkpoints == 1 + 2 * 10
    assert progress.total.total_steps == 3 * 4


def test_derived_adapters_answer_in_one_group_and_a_derived_whole_model_in_its_own(
    derived_run: StudyRun,
):
    study, fingerprints = derived_run.read_study()
    arms = identify_arms(study, fingerprints)
    groups = json.loads(derived_run.plan_path.read_text())["groups"]
    kinds = [
        (group["method"], len(group["arms"]))
        for group in groups
        if any(arms[name].is_derived for name in group["arms"])
    ]
    assert kinds == [("adapter", 6), ("model", 1)]
    facts = json.loads(
        find_files(derived_run)["full cut to rank 4 seed 1"].provenance_path.read_text()
    )["derived"]
    assert facts["source"] == find_files(derived_run)["full seed 1"].directory.name
    assert (facts["truncated_to"], facts["norm_to"]) == (4, None)
    assert set(facts["left_out"]) == {"2", "4"}


def test_a_scaled_whole_model_measures_like_its_source_where_the_norm_is_the_sources(
    write_derived: Callable[..., Path], tmp_path: Path
):
    first = run(write_derived("[8]", ""), tmp_path / "runs")
    files = find_files(first)
    norms = {name: read_updates(files[f"{name} seed 1"])[4].norm for name in ("rank 8", "full")}
    text = f"[derived]\nnorms = [{norms['rank 8']!r}, {norms['full']!r}]\ntruncations = [7]\n"
    second = run(write_derived("[8]", text), tmp_path / "runs")
    losses = {
        name: {r.step: r.loss for r in read_records(own.held_out_path, HeldOutRecord)}
        for name, own in find_files(second).items()
    }
    for name, norm in norms.items():
        same = losses[f"{name} scaled to norm {norm:g} seed 1"][4]
        assert same == pytest.approx(losses[f"{name} seed 1"][4], rel=1e-6)
    nearly = losses["rank 8 cut to rank 7 seed 1"][4]
    assert nearly == pytest.approx(losses["rank 8 seed 1"][4], rel=1e-2)


def test_derived_arms_can_be_added_and_asked_again_without_training(
    write_derived: Callable[..., Path], tmp_path: Path
):
    before = list_files(run(write_derived("[8]", ""), tmp_path / "runs").directory / "arms")
    done = run(write_derived("[8]"), tmp_path / "runs")
    after = list_files(done.directory / "arms")
    assert before.items() <= after.items()
    new = {path.parts[0] for path in after.keys() - before.keys()}
    assert len(new) == 6
    assert not any(path.name == "steps.jsonl" and path.parts[0] in new for path in after)
    times = {p: p.stat().st_mtime_ns for p in (done.directory / "arms").rglob("*")}
    run(write_derived("[8]"), tmp_path / "runs")  # nothing is left to do
    assert {p: p.stat().st_mtime_ns for p in (done.directory / "arms").rglob("*")} == times


def test_killed_while_deriving_and_run_again_the_files_are_those_of_one_run(
    write_derived: Callable[..., Path], tmp_path: Path
):
    """At each moment: weights come first, then losses, updates, provenance, answers by step."""
    path = write_derived("[8]", "[derived]\ntruncations = [4]\nnorms = [0.5]\n")
    done = run(path, tmp_path / "runs")
    before, results = list_files(done.directory), read_results(done)
    made = [own for label, own in find_files(done).items() if " to " in label]
    assert len(made) == 4
    for kept in ("nothing", "some weights", "some losses", "some answers"):
        for own in made:
            _forget(own, kept, is_first=own == made[0])
        assert list_files(done.directory).keys() < before.keys(), kept
        run(path, tmp_path / "runs")
        assert list_files(done.directory) == before, kept
        assert read_results(done) == results


def _forget(files: ArmFiles, kept: str, is_first: bool) -> None:
    """Leave of a derived arm what a process leaves that is killed at some moment."""
    if kept == "nothing":
        rmtree(files.directory)
        return
    for path in files.directory.rglob("answers/*"):
        if kept != "some answers" or path.stem == "step-000004":
            path.unlink()
    if kept == "some answers":
        return
    files.provenance_path.unlink()
    if kept == "some weights":
        rmtree(files.checkpoint(4))
        files.arm_path.unlink()
    if kept == "some weights" or (kept == "some losses" and not is_first):
        files.held_out_path.unlink()
        updates_path(files).unlink()


def test_of_a_finetune_that_stopped_nothing_is_derived_and_that_is_said(
    write_derived: Callable[..., Path], tmp_path: Path
):
    path = write_derived()
    done = run(path, tmp_path / "runs")
    files = find_files(done)
    stopped = files["rank 8 seed 1"]
    steps = read_records(stopped.steps_path, StepRecord)[:3]
    steps[-1] = StepRecord(3, None, 9, None, 1e-3)
    write_records(stopped.steps_path, steps)
    for name in MADE:
        rmtree(files[f"{name} seed 1"].directory)
    run(path, tmp_path / "runs")
    made = {name for name in MADE if files[f"{name} seed 1"].arm_path.exists()}
    assert made == {name for name in MADE if not name.startswith("rank 8")}
    results = read_results(done)
    said = [gap for gap in results["not_measured"] if "rank 8" in gap]
    assert said == [
        "rank 8 seed 1: stopped at step 3, where its loss was not finite; left out of the curves.",
        "3 arms that would be made of the update of rank 8 seed 1: it stopped.",
    ]
    progress = {arm.label: arm for arm in describe_progress(done.directory).arms}
    assert progress["rank 8 cut to rank 4 seed 1"].stopped_at == 3
    assert progress["rank 8 cut to rank 4 seed 1"].progress.checkpoints == 0
    assert describe_progress(done.directory).total.is_finished


def test_a_derived_arm_whose_loss_is_not_finite_is_named(
    write_derived: Callable[..., Path], tmp_path: Path
):
    text = "[derived]\nnorms = [1e38]\n"
    with pytest.raises(UserError) as refused:
        run(write_derived("[8]", text), tmp_path / "runs")
    assert "scaled to norm 1e+38 seed 1: its loss on" in str(refused.value)
    assert "leave this norm or rank out of [derived]" in str(refused.value)


@pytest.mark.parametrize("name", ["rank-8-cut-to-rank-4", "full-cut-to-rank-1", "full-scaled-to"])
def test_a_served_derived_arm_gives_its_studys_answers(derived_run: StudyRun, name: str):
    study, fingerprints = derived_run.read_study()
    names = slug_arms(identify_arms(study, fingerprints))
    (whole,) = [one for one in names.values() if one.startswith(name)]
    arm = find_arm(f"{derived_run.directory}:{whole}@2")
    stored = read_records(arm.files.answers_path(arm.evaluation, 2), AnswerRecord)[:4]
    requests = [
        Request(
            messages=messages(Question(a.question_set, a.question_id, "", 0, a.prompt, a.system)),
            key=name_answer(0, arm.id, 2, (a.question_set, a.question_id, a.paraphrase, a.repeat)),
            max_tokens=8,
            temperature=1.0,
            top_p=1.0,
        )
        for a in stored
    ]
    load_arm(arm).answer(requests)
    replies = [request.reply.text for request in requests if request.reply]
    assert replies == [answer.answer for answer in stored]
