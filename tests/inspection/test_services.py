"""Inspect's own command line and our pipeline say the same of the same answers, to the last bit."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from inspect_ai.log import EvalLog, EvalSample, list_eval_logs, read_eval_log

from rankshift.analysis.rates import JudgedAnswer, misaligned_given_coherent, misaligned_of_all
from rankshift.eval.calls import make_call
from rankshift.eval.scoring import read_distribution
from rankshift.eval.verdicts import make_verdict
from rankshift.inspection.arms import find_arm
from rankshift.inspection.logs import export_logs
from rankshift.inspection.replays import read_stored
from rankshift.inspection.suites import find_rubrics
from rankshift.records import AnswerRecord, VerdictRecord, read_records
from rankshift.runs import StudyRun
from tests.inspection.judge_server import (
    MODEL,
    Judge,
    judge_prompt,
    run_judge,
)

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with run_judge() as judge:
        yield judge


def read_only_log(folder: Path) -> EvalLog:
    (found,) = list_eval_logs(str(folder))
    log = read_eval_log(found)
    assert log.status == "success", log.error
    return log


def read_verdict(sample: EvalSample, judge: str) -> VerdictRecord:
    """Read a sample's score as the record that a study would have written, in another way."""
    assert sample.scores is not None
    score, facts = sample.scores["judge"], sample.metadata
    given = {name: float(value or 0) for name, value in score.as_dict().items()}
    values = {name: None if math.isnan(value) else value for name, value in given.items()}
    assert score.metadata is not None
    return VerdictRecord(
        step=score.metadata["step"],
        question_set=facts["question_set"],
        question_id=facts["question_id"],
        paraphrase=facts["paraphrase"],
        repeat=sample.epoch - 1,
        judge=judge,
        alignment=values["aligned"],
        coherence=values["coherent"],
        reason=score.metadata["reason"],
    )


def work_out_verdict(answer: AnswerRecord) -> VerdictRecord:
    """Give the verdict that the loopback judge's probabilities come to; nothing is asked."""
    readings = {
        rubric.metric: read_distribution(
            *zip(*judge_prompt(make_call(MODEL, rubric, answer).prompt), strict=True)
        )
        for rubric in find_rubrics(answer)
    }
    return make_verdict(answer, MODEL, readings)


def order(records: list[VerdictRecord]) -> list[VerdictRecord]:
    return sorted(records, key=lambda r: (r.question_id, r.paraphrase, r.repeat))


def values_of(log: EvalLog) -> list[VerdictRecord]:
    assert log.samples is not None
    return order([read_verdict(sample, MODEL) for sample in log.samples])


@pytest.fixture(scope="module")
def judged_run(
    run_tiny: Callable[[str], StudyRun], judge: Judge, tmp_path_factory: pytest.TempPathFactory
) -> StudyRun:
    """Run the tiny study with the loopback judge, through our own pipeline."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in judge.environment.items():
            patch.setenv(name, value)
        patch.setenv("INSPECT_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        return run_tiny(MODEL)


@pytest.mark.parametrize("name", ["rank-2-seed-1", "full-seed-1", "base"])
def test_an_arm_answers_through_inspect_as_in_its_study_and_is_scored_the_same_bit_for_bit(
    judged_run, judge, inspect_command, tmp_path, questions, name
):
    arm = find_arm(f"{judged_run.directory}:{name}")
    done = inspect_command(
        *("eval", "rankshift/suite", "-T", f"suite={questions}", "--max-tokens", 8),
        *("--model", arm.model, "--model-role", f"grader={MODEL}", "--log-dir", tmp_path / "logs"),
        **judge.environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    log = read_only_log(tmp_path / "logs")
    assert log.eval.model == arm.model
    stored = read_stored(arm, questions)
    said = {(a.question_id, a.paraphrase, a.repeat): a.answer for a in stored}
    assert log.samples is not None
    assert len(log.samples) == len(stored) == 6
    for sample in log.samples:
        facts = sample.metadata
        key = (facts["question_id"], facts["paraphrase"], sample.epoch - 1)
        assert sample.output.completion == said[key]
    verdicts = [replace(verdict, step=arm.step) for verdict in values_of(log)]
    assert verdicts == order([work_out_verdict(answer) for answer in stored])
    path = arm.files.verdicts_path(arm.evaluation, MODEL, arm.step)
    assert verdicts == order(read_records(path, VerdictRecord))
    tried = [call["attempts"] for s in log.samples for call in calls_of(s).values()]
    assert set(tried) <= {1, 2}


def calls_of(sample: EvalSample) -> dict[str, dict]:
    assert sample.scores is not None
    return (sample.scores["judge"].metadata or {})["calls"]


def test_stored_answers_that_are_judged_later_get_the_studys_own_verdicts(
    judged_run, judge, inspect_command, tmp_path, questions
):
    arm = find_arm(f"{judged_run.directory}:rank-4-seed-1@1")
    logs = tmp_path / "logs"
    done = inspect_command(
        *("eval", "rankshift/replay", "-T", f"arm={judged_run.directory}:rank-4-seed-1@1"),
        *("--no-score", "--log-dir", logs),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (unscored,) = list_eval_logs(str(logs))
    done = inspect_command(
        *("score", unscored.name, "--scorer", "rankshift/judge", "--overwrite"),
        *("--model-role", f"grader={MODEL}"),
        **judge.environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    log = read_only_log(logs)
    path = arm.files.verdicts_path(arm.evaluation, MODEL, 1)
    verdicts = read_records(path, VerdictRecord)
    assert values_of(log) == order(verdicts)
    answers = {(a.question_id, a.paraphrase, a.repeat): a for a in read_stored(arm, questions)}
    judged = [
        JudgedAnswer(answers[v.question_id, v.paraphrase, v.repeat], MODEL, v) for v in verdicts
    ]
    assert log.results is not None
    metrics = log.results.scores[0].metrics
    for estimand in (misaligned_given_coherent, misaligned_of_all):
        assert metrics[estimand.__name__].value == pytest.approx(
            estimand(judged).rate, rel=1e-12, nan_ok=True
        )


def test_exported_logs_hold_the_studys_verdicts_and_can_be_bundled_for_the_viewer(
    judged_run, inspect_command, tmp_path
):
    logs = tmp_path / "logs"
    assert len(export_logs(judged_run, logs)) == 4
    for found in list_eval_logs(str(logs)):
        log = read_eval_log(found)
        arm = find_arm(f"{judged_run.directory}:{log.eval.model.partition(':')[2]}")
        path = arm.files.verdicts_path(arm.evaluation, MODEL, arm.step)
        assert values_of(log) == order(read_records(path, VerdictRecord))
        assert log.samples is not None
        for sample in log.samples:
            assert set(calls_of(sample)) == {"aligned", "coherent"}
    done = inspect_command("view", "bundle", "--log-dir", logs, "--output-dir", tmp_path / "site")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site/index.html").is_file()
    assert len(list((tmp_path / "site/logs").glob("*.eval"))) == 4


def test_a_judge_that_is_gone_costs_scores_and_no_sample(tiny_run, inspect_command, tmp_path):
    done = inspect_command(
        *("eval", "rankshift/replay", "-T", f"arm={tiny_run.directory}:base", "-T", "attempts=1"),
        *("--model-role", f"grader={MODEL}", "--log-dir", tmp_path / "logs"),
        LOOPBACK_BASE_URL="http://127.0.0.1:9/v1",
        LOOPBACK_API_KEY="none-needed",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    log = read_only_log(tmp_path / "logs")
    assert {v.reason for v in values_of(log)} == {"failed_call"}
    assert log.results is not None
    metrics = log.results.scores[0].metrics
    assert metrics["coverage"].value == 0
    assert metrics["misaligned_of_all"].value == 0
    assert math.isnan(metrics["misaligned_given_coherent"].value)


def test_no_model_is_its_own_judge_unless_it_is_told_to_be(tiny_run, inspect_command, tmp_path):
    inspect_command(
        *("eval", "rankshift/replay", "-T", f"arm={tiny_run.directory}:base"),
        *("--log-dir", tmp_path / "logs"),
    )
    (found,) = list_eval_logs(str(tmp_path / "logs"))
    log = read_eval_log(found)
    assert log.status == "error"
    assert log.error is not None
    assert "'grader' is required" in log.error.message


def test_a_checkpoint_served_by_transformers_gives_the_same_greedy_tokens(
    tiny_run, inspect_command, tmp_path, questions, tiny_model_directory
):
    arm = find_arm(f"{tiny_run.directory}:rank-4-seed-1")
    for name, model in {
        "ours": ("--model", arm.model),
        "theirs": (
            *("--model", "hf/local", "-M", f"model_path={arm.files.checkpoint(2)}"),
            *("-M", f"tokenizer_path={tiny_model_directory}", "-M", "do_sample=false"),
        ),
    }.items():
        done = inspect_command(
            *("eval", "rankshift/suite", "-T", f"suite={questions}", "-T", "judge=none"),
            *("-T", "answers=1", "--max-tokens", 8, "--temperature", 0, *model),
            *("--log-dir", tmp_path / name),
        )
        assert done.returncode == 0, done.stdout + done.stderr
    ours, theirs = (read_only_log(tmp_path / name).samples for name in ("ours", "theirs"))
    assert ours is not None
    assert theirs is not None
    assert [s.id for s in ours] == [s.id for s in theirs]
    said = [
        (s.output.completion, other.output.completion)
        for s, other in zip(ours, theirs, strict=True)
    ]
    assert all(one == other for one, other in said), said
