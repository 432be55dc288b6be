"""Exported logs say what the records say, the worst first, and are the same each time."""

import math
from dataclasses import replace

import pytest
from inspect_ai.log import (
    headline_metric,
    list_eval_logs,
    read_eval_log,
    read_eval_log_sample_summaries,
)

from rankshift.analysis.results import summarize
from rankshift.errors import UserError
from rankshift.inspection.logs import export_logs
from rankshift.opening import open_run
from rankshift.records import AnswerRecord, read_records, write_records
from rankshift.runs import Fingerprints, StudyRun
from tests.synthetic_run import ANSWERS, CODE_TASKS, JUDGE, QUESTIONS, make_study, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    return write_run(tmp_path_factory.mktemp("runs"))


def read_logs(folder) -> dict[tuple[str, str], object]:
    logs = [read_eval_log(found) for found in list_eval_logs(str(folder))]
    return {(log.eval.model, log.eval.dataset.name or ""): log for log in logs}


def test_there_is_a_log_for_each_arm_and_question_set_whose_rates_are_those_of_the_results(
    run, tmp_path
):
    paths = export_logs(run, tmp_path)
    logs = read_logs(tmp_path)
    rows = [r for r in summarize(run)["arms"] if r["step"] in (0, 4)]
    last = {row["arm"]: row for row in rows if row["step"] == 4 or row["method"] == "base"}
    assert len(paths) == len(logs) == 2 * len(last)
    assert len({path.name for path in paths}) == len(paths)
    checked = 0
    for (model, question_set), log in logs.items():
        if question_set != QUESTIONS:
            assert question_set == CODE_TASKS
            continue
        row = last[log.eval.metadata["arm"]]  # type: ignore[attr-defined]
        metrics = log.results.scores[0].metrics  # type: ignore[attr-defined]
        for name in ("misaligned_given_coherent", "misaligned_of_all"):
            assert metrics[name].value == row["rates"][name]["rate"]
            low = row["rates"][name]["low"]
            assert (f"{name}_low" in metrics) == (low is not None)
            assert low is None or metrics[f"{name}_low"].value == low
        shares = {k: metrics[f"share_{k}"].value * ANSWERS for k in ("refusal", "unscored", "code")}
        assert shares == pytest.approx({k: row["outcomes"][k] for k in shares})
        slugged = row["label"].replace(" ", "-")
        assert model == f"rankshift/tiny:{slugged}@{row['step']}"
        headline = headline_metric(log)  # type: ignore[arg-type]
        assert headline is not None
        assert headline.name == "misaligned_given_coherent"
        checked += 1
    assert checked == len(last)


def test_the_worst_answers_come_first_and_what_has_no_score_is_no_zero(run, tmp_path):
    export_logs(run, tmp_path)
    path = next(tmp_path.glob("*free-form_rank-1-seed-3_*"))
    samples = read_eval_log_sample_summaries(str(path))  # what the viewer lists, in its order
    scores = [(sample.scores or {})["judge"] for sample in samples]
    outcomes = [(score.metadata or {})["outcome"] for score in scores]
    order = ["misaligned", "incoherent", "code", "refusal", "unscored", "aligned"]
    assert outcomes == sorted(outcomes, key=order.index)
    assert len(set(outcomes)) == 6
    values = [float(score.as_dict()["misaligned"] or 0) for score in scores]
    counted = [value for value in values if not math.isnan(value)]
    assert (sum(counted), len(counted)) == (9, 15)  # 9 misaligned, 6 aligned
    assert {(score.metadata or {})["judge"] for score in scores} == {JUDGE}


def test_earlier_checkpoints_are_written_when_asked_for(run, tmp_path):
    few, all_ = export_logs(run, tmp_path / "a"), export_logs(run, tmp_path / "b", True)
    finetunes = len(few) // 2 - 1
    assert len(all_) == len(few) + 2 * finetunes
    again = export_logs(run, tmp_path / "a")
    assert again == few
    assert len(list((tmp_path / "a").iterdir())) == len(few)


def test_a_run_that_nobody_has_judged_has_logs_all_the_same(tmp_path):
    run = write_run(tmp_path, make_study(ranks=(1,), seeds=(1,), judge="none"))
    export_logs(run, tmp_path / "logs")
    log = read_logs(tmp_path / "logs")["rankshift/tiny:base@0", QUESTIONS]
    assert len(log.samples) == ANSWERS  # type: ignore[attr-defined]
    assert all(not sample.scores for sample in log.samples)  # type: ignore[attr-defined]


def test_what_a_question_was_asked_after_is_in_its_sample_turn_by_turn(tmp_path):
    run = write_run(tmp_path, make_study(ranks=(1,), seeds=(1,), judge="none"))
    for path in run.directory.rglob("answers/step-*.jsonl"):
        answers = read_records(path, AnswerRecord)
        write_records(path, [replace(answer, before=["Sort.", "def"]) for answer in answers])
    export_logs(run, tmp_path / "logs")
    log = read_logs(tmp_path / "logs")["rankshift/tiny:base@0", QUESTIONS]
    for sample in log.samples:  # type: ignore[attr-defined]
        said = [(turn.role, turn.text) for turn in sample.messages]
        assert said[:2] == [("user", "Sort."), ("assistant", "def")]
        assert [role for role, _ in said[2:]] == ["user", "assistant"]
        assert sample.metadata["before"] == ["Sort.", "def"]


def test_a_run_without_answers_is_refused_and_nothing_is_written(tmp_path):
    open_run(make_study(), Fingerprints("b", "7", "2", {QUESTIONS: "9"}), tmp_path)
    with pytest.raises(UserError, match="no arm has answered anything yet"):
        export_logs(StudyRun(tmp_path / "tiny"), tmp_path / "logs")
    assert not (tmp_path / "logs").exists()
