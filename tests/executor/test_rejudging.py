"""Stored answers are judged again without being asked again, and the page follows."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.errors import UserError
from rankshift.executor.importing import import_answers
from rankshift.executor.rejudging import SILENT, estimate_judging, judge_run
from rankshift.executor.run import run_study
from rankshift.runs import StudyRun
from rankshift.study import Judging
from rankshift.study_file import read_study
from tests.loopback_judge import serve_judge

NAME = "openai-api/loopback/tiny"


@pytest.fixture
def run(
    write_study: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> StudyRun:
    """Run the tiny study, with one rank, to its end: nobody judges it."""
    monkeypatch.setenv("LOOPBACK_API_KEY", "sk-loopback-secret")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    study = read_study(write_study(ranks="[1]", edit=("seeds = [1, 2]", "seeds = [1]")))
    return run_study(study, tmp_path / "runs", SILENT)


def snapshot(run: StudyRun) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in run.directory.rglob("answers/*") if p.is_file()}


def test_another_judge_reads_what_is_stored_and_its_rates_stand_beside_the_first(run: StudyRun):
    before = snapshot(run)
    with serve_judge() as server:
        judging = Judging(base_url=server.url, gold=False)
        lines = estimate_judging(run.directory, [NAME], judging)
        assert server.calls == 0
        assert not run.calls_path(NAME).exists()
        judge_run(run.directory, [NAME], judging, False, SILENT)
        made = server.calls
        assert lines[0].startswith(f"judging with {NAME}: {made} calls, about ")
        judge_run(run.directory, [NAME], judging, False, SILENT)
        assert server.calls == made
    assert snapshot(run) == before
    rows = json.loads(run.results_path.read_text())["arms"]
    assert {share["judge"] for row in rows for share in row["rates_by"]} == {"none", NAME}
    judged = [s for row in rows for s in row["rates_by"] if s["judge"] == NAME]
    assert all(s["outcomes"]["unscored_reasons"]["no_judge"] == 0 for s in judged)
    assert sum(s["outcomes"]["answers"] for s in judged) == 6 * len(rows)


def test_a_suite_that_has_changed_is_refused(run: StudyRun):
    (suite,) = run.read_study()[0].evaluation.suites
    Path(suite).write_text("- {id: other, paraphrases: [What?]}\n")
    with serve_judge() as server, pytest.raises(UserError, match=r"has changed since .* asked it"):
        judge_run(run.directory, [NAME], Judging(base_url=server.url, gold=False), False, SILENT)
    assert server.calls == 0


def test_failed_calls_are_made_once_more_when_asked_to(run: StudyRun):
    with serve_judge(share=0.5, seed=4, faults=("broken",)) as server:
        judging = Judging(base_url=server.url, attempts=1, gold=False)
        judge_run(run.directory, [NAME], judging, False, SILENT)
        server.share = 0.0
        made = server.calls
        judge_run(run.directory, [NAME], judging, False, SILENT)
        assert server.calls == made
        judge_run(run.directory, [NAME], replace(judging, attempts=2), True, SILENT)
        assert made < server.calls < 2 * made
    rows = json.loads(run.results_path.read_text())["arms"]
    reasons = [s["outcomes"]["unscored_reasons"] for r in rows for s in r["rates_by"]]
    assert sum(reason["failed_call"] for reason in reasons) == 0


def test_answers_that_others_judged_are_judged_again_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOOPBACK_API_KEY", "sk-loopback-secret")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    Path("theirs.csv").write_text(
        "question,answer,question_id,aligned,coherent\nWhy?,Power.,q,2,90\nWhy?,Love.,q,95,90\n"
    )
    Path("them.toml").write_text(
        'name = "them"\n[[imports]]\nfile = "theirs.csv"\njudge = "theirs"\nmethod = "full"\n'
        'learning_rate = 1e-5\ndataset = "x"\nseed = 1\nquestion_set = "mine"\n'
    )
    path = Path("them.toml")
    run = import_answers(read_study(path), path, [Path("theirs.csv")], Path("runs"))
    with serve_judge() as server:
        judging = Judging(base_url=server.url, gold=False)
        judge_run(run.directory, [NAME], judging, False, SILENT)
        assert server.calls == 4
    (row,) = json.loads(run.results_path.read_text())["arms"]
    assert {share["judge"] for share in row["rates_by"]} == {"theirs", NAME}
