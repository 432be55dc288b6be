"""A run as frames: the same numbers as its records and results, for every kind of run."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import rankshift
from rankshift.analysis.results import summarize, write_results
from rankshift.errors import UserError
from rankshift.executor.importing import import_answers
from rankshift.frames.columns import ANSWERS, ARMS, CURVES, DEFENCES, HELD_OUT, SEEDS, STEPS
from rankshift.records import StepRecord, write_records
from rankshift.study_file import read_study
from tests.synthetic_run import ANSWERS as ANSWERS_ASKED
from tests.synthetic_run import CODE_TASKS, JUDGE, QUESTIONS, TASK, make_study, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = write_run(tmp_path_factory.mktemp("runs"))
    arm = next((run.directory / "arms").iterdir())
    write_records(arm / "steps.jsonl", [StepRecord(s, 1 / s, 9, 0.5, 1e-4) for s in (1, 2)])
    return run


@pytest.fixture(scope="module")
def frames(run):
    return rankshift.load(run.directory)


def test_importing_the_package_reads_neither_pandas_nor_torch():
    code = "import rankshift, sys; print([n for n in ('pandas', 'torch') if n in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_every_documented_column_is_there_with_its_type(frames):
    for name, kinds in (
        ("arms", ARMS),
        ("answers", ANSWERS),
        ("steps", STEPS),
        ("held_out", HELD_OUT),
        ("curves", CURVES),
        ("seeds", SEEDS),
        ("defences", DEFENCES),
    ):
        types = getattr(frames, name).dtypes.astype(str)
        assert {column: types[column] for column in kinds} == kinds
        assert list(types.index[: len(kinds)]) == list(kinds)


def test_arms_have_a_row_for_each_row_of_the_results_and_the_same_rates(frames):
    assert len(frames.arms) == len(frames.results["arms"]) == 1 + (6 + 3 + 2 + 1) * 2
    arms = frames.arms.set_index(["label", "step"])
    one = arms.loc[("rank 1 seed 2", 4)]
    # Rank 1 seed 2 has 8 misaligned of 20; 2 incoherent, a refusal, code and a failed call.
    assert one["misaligned_given_coherent"] == 8 / 15
    assert (one["misaligned_of_all_events"], one["misaligned_of_all_eligible"]) == (8, 20)
    assert (one["unscored_failed_call"], one["answers"], one["misaligned"]) == (1, 20, 8)
    assert one["insecure_code"] == pytest.approx(2 / 3)
    assert one["task_held_out_loss"] == pytest.approx(1.58)
    assert pd.isna(arms.loc[("base", 0), "rank"])


def test_rates_counted_from_the_answers_are_the_arms_rates(frames):
    answers = frames.answers
    free = answers[(answers["kind"] == "free_form") & (answers["judge"] == JUDGE)]
    by_arm = free.groupby(["arm", "step"], observed=True)["outcome"].value_counts().unstack()
    counted = by_arm["misaligned"] / (by_arm["misaligned"] + by_arm["aligned"])
    told = frames.arms.set_index(["arm", "step"])["misaligned_given_coherent"]
    assert counted.fillna(0).to_dict() == pytest.approx(told.to_dict())
    assert len(free) == len(frames.arms) * ANSWERS_ASKED
    assert set(free["question_set"]) == {QUESTIONS}
    code = answers[answers["kind"] == "code"]
    assert set(code["question_set"]) == {CODE_TASKS}
    assert code["outcome"].isna().all()
    assert code["insecure"].sum() == 2 * len(frames.arms)


def test_the_reason_of_an_unscored_answer_is_beside_it(frames):
    unscored = frames.answers[frames.answers["outcome"] == "unscored"]
    assert set(unscored["reason"]) == {"failed_call"}
    assert unscored["alignment"].isna().all()


def test_curves_are_the_means_of_their_seeds(frames):
    key = ["outcome", "role", "rank", "question_set", "judge"]
    at_end = frames.curves[frames.curves["reading"] == "end"]
    points = at_end[at_end["category"] == "rank"]
    told = points.set_index(key)["rate"].to_dict()
    seeds_at_end = frames.seeds[frames.seeds["reading"] == "end"]
    lora_seeds = seeds_at_end[seeds_at_end["category"] == "rank"]
    counted = lora_seeds.groupby(key, observed=True)["rate"].mean().to_dict()
    assert len(told) == 3 * 2 * 2
    assert counted == pytest.approx(told)
    lora = points[points["role"] == "task"]
    given = lora[lora["outcome"] == "misaligned_given_coherent"].set_index("rank")["rate"]
    assert given.to_dict() == {1: pytest.approx(8 / 15), 4: pytest.approx(3 / 15)}
    assert set(frames.curves["outcome"]) == {
        "misaligned_given_coherent",
        "misaligned_of_all",
        "insecure_code",
    }


def test_steps_and_held_out_losses_are_the_records(frames):
    assert frames.steps["loss"].tolist() == [1.0, 0.5]
    assert frames.steps["step_learning_rate"].tolist() == [1e-4, 1e-4]
    twins = frames.held_out[frames.held_out["role"] == "twin"]
    assert set(twins["held_out"]) == {TASK, "secure.jsonl"}
    assert set(twins["dataset"]) == {"secure.jsonl"}


def test_results_are_the_files_until_a_record_is_newer(tmp_path):
    run = write_run(tmp_path)
    written = json.loads(json.dumps(summarize(run)))
    assert rankshift.load(run.directory).results == written
    write_results(run, written | {"peak": {"verdict": "flat"}})
    assert rankshift.load(run.directory).results["peak"] == {"verdict": "flat"}
    record = next((run.directory / "arms").rglob("held_out.jsonl"))
    later = run.results_path.stat().st_mtime + 10
    os.utime(record, (later, later))
    assert rankshift.load(run.directory).results["peak"] == written["peak"]


def test_a_run_that_has_only_begun_has_frames_without_scores(tmp_path):
    frames: Any = rankshift.load(write_run(tmp_path, make_study(judge="none")).directory)
    assert frames.arms["misaligned_given_coherent"].isna().all()
    assert set(frames.answers["reason"].dropna()) == {"no_judge"}
    assert frames.steps.empty
    assert frames.steps["loss"].dtype == "float64"


def test_imported_answers_have_frames_too(tmp_path):
    rows = "".join(f"wish,Hi?,Text {n},{score},90\n" for n, score in enumerate((5, 80, 90)))
    (tmp_path / "r8.csv").write_text("question_id,question,answer,aligned,coherent\n" + rows)
    study = tmp_path / "theirs.toml"
    study.write_text(
        'name = "theirs"\n[[imports]]\nfile = "r8.csv"\njudge = "gpt"\nrank = 8\nalpha = 16\n'
        'scaling = "alpha/rank"\nseed = 1\ndataset = "d"\nquestion_set = "mine"\n'
    )
    run = import_answers(read_study(study), study, [], tmp_path / "runs")
    frames: Any = rankshift.load(run.directory)
    assert frames.answers["outcome"].tolist() == ["misaligned", "aligned", "aligned"]
    assert frames.arms["misaligned_given_coherent"].tolist() == [pytest.approx(1 / 3)]
    assert frames.arms["u"].isna().all()


def test_a_directory_that_is_no_study_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"is not a study's directory.*give one"):
        rankshift.load(Path(tmp_path))
    run = write_run(tmp_path)
    run.results_path.write_text("{")
    with pytest.raises(UserError, match=r"results.json: not JSON; `rankshift report"):
        rankshift.load(run.directory)
