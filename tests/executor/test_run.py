import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.analysis.results import summarize
from rankshift.data.preparation import prepare_set
from rankshift.data.sources import resolve_dataset
from rankshift.errors import UserError
from rankshift.executor.plan import read_plan, write_plan
from rankshift.executor.resolving import resolve_study
from rankshift.executor.run import Watch, cost_of, make_plan, run_study
from rankshift.executor.worker import work
from rankshift.model.loading import load_tokenizer
from rankshift.opening import open_run
from rankshift.records import AnswerRecord, HeldOutRecord, StepRecord, read_records
from rankshift.runs import StudyRun
from rankshift.study_file import read_study
from rankshift.watch_files import read_crossings

QUIET = Watch(lambda *_: None, lambda *_: None, lambda _: None)


def run(path, root):
    return run_study(read_study(path), root, QUIET)


def read_results(study_run):
    results = json.loads(study_run.results_path.read_text())
    del results["timings"]
    del results["preregistration"]  # which says when it was written
    return results


UNLIKE = ("provenance.json", "preregistration.json", "results.json", "report.html")
"""Files that tell times."""


def list_files(directory):
    """Map every file but the notes on times to its bytes."""
    return {
        path.relative_to(directory): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in UNLIKE
    }


def test_an_arm_costs_less_the_fewer_layers_it_adapts_and_the_base_product_is_always_paid(
    write_study, tmp_path
):
    edit = ("seeds = [1, 2]", "seeds = [1, 2]\nlayers = [[0], [0, 1]]")
    resolved = resolve_study(read_study(write_study(edit=edit)), tmp_path / "runs")
    costs = {arm.label: cost_of(resolved, arm) for arm in resolved.arms.values()}
    one, both = costs["rank 4 (layers 0) seed 1"], costs["rank 4 (layers 0-1) seed 1"]
    base = costs["full seed 1"] / 1.5  # without the gradients of its weights
    assert both - base == 2 * (one - base) > 0


def test_what_is_not_trained_is_not_paid_for(write_study, tmp_path):
    edit = ("seeds = [1, 2]", "seeds = [1]\ntrains_a = [true, false]\nlayers = [[0]]")
    full = (
        "[training]",
        '[[grid.full]]\nparameters = "adapted"\nlearning_rates = [0.1]\n[training]',
    )
    study = read_study(write_study(edit=edit, also=full))
    resolved = resolve_study(study, tmp_path / "runs")
    costs = {arm.label: cost_of(resolved, arm) for arm in resolved.arms.values()}
    assert costs["rank 4 (layers 0) frozen A seed 1"] < costs["rank 4 (layers 0) seed 1"]
    assert costs["full (layers 0) seed 1"] == costs["full seed 1"]  # no other layer is counted


def test_a_study_file_becomes_records_results_and_a_page(write_study, tmp_path):
    study_run = run(write_study(), tmp_path / "runs")
    results = read_results(study_run)
    # base + 2 ranks x 2 seeds + 2 full + twins of 2 ranks and full at one seed
    assert len({row["arm"] for row in results["arms"]}) == 1 + 4 + 2 + 3
    assert len(results["arms"]) == 1 + 2 * 9
    for row in results["arms"]:
        assert row["task_held_out_loss"] > 0
        assert row["outcomes"]["answers"] == 3 * 2
        assert row["outcomes"]["unscored_reasons"]["no_judge"] == 3 * 2
    assert results["peak"] is None
    plan = json.loads((study_run.directory / "preregistration.json").read_text())
    assert plan["circumstances"]["arms_were_trained"] is False
    assert "<html" in study_run.report_path.read_text()
    arm = next((study_run.directory / "arms").glob("*/steps.jsonl")).parent
    assert [r.step for r in read_records(arm / "steps.jsonl", StepRecord)] == [1, 2, 3, 4]
    assert {r.step for r in read_records(arm / "held_out.jsonl", HeldOutRecord)} == {2, 4}
    answers = read_records(next(arm.rglob("answers/step-000004.jsonl")), AnswerRecord)
    assert {a.question_set for a in answers if a.kind == "code"} == {"held-out-code"}
    assert next(a for a in answers if a.question_id == "json").system == "Answer in JSON."


def test_a_finished_study_run_again_trains_and_asks_nothing(write_study, tmp_path):
    path = write_study()
    study_run = run(path, tmp_path / "runs")
    before = {p: p.stat().st_mtime_ns for p in (study_run.directory / "arms").rglob("*")}
    results = study_run.results_path.read_bytes()
    run(path, tmp_path / "runs")
    assert {p: p.stat().st_mtime_ns for p in (study_run.directory / "arms").rglob("*")} == before
    assert study_run.results_path.read_bytes() == results


def test_an_added_rank_trains_only_that_rank(write_study, tmp_path):
    first = run(write_study("[1, 4]"), tmp_path / "runs")
    before = list_files(first.directory / "arms")
    second = run(write_study("[1, 4, 8]"), tmp_path / "runs")
    after = list_files(second.directory / "arms")
    assert before.items() <= after.items()
    new = {path.parts[0] for path in after.keys() - before.keys()}
    assert {json.loads(second.arm(n).arm_path.read_text())["arm"]["rank"] for n in new} == {8}
    assert len(new) == 3  # two seeds and a twin
    ranks = [p["rank"] for p in read_results(second)["curves"][0]["points"]]
    assert ranks == [1, 4, 8]


def test_other_questions_are_answered_without_training_again(write_study, tmp_path):
    first = run(write_study(), tmp_path / "runs")
    before = list_files(first.directory / "arms")
    edit = ("answers_per_question = 2", "answers_per_question = 1")
    after = list_files(run(write_study(edit=edit), tmp_path / "runs").directory / "arms")
    assert before.items() <= after.items()
    assert {path.parts[1] for path in after.keys() - before.keys()} == {"evaluations"}


def test_a_plan_that_another_process_makes_before_the_lock_is_taken_is_kept(write_study, tmp_path):
    study = read_study(write_study(ranks="[1]"))
    single = replace(study, compute=replace(study.compute, arms_per_group=1))
    resolved = resolve_study(single, tmp_path)
    theirs = make_plan(resolved)

    def go_first(said: str) -> None:
        if " groups" in said:
            other = open_run(single, resolved.parts.fingerprints, tmp_path)
            write_plan(other.plan_path, theirs)

    done = run_study(study, tmp_path, Watch(lambda *_: None, lambda *_: None, go_first))
    assert read_plan(done.plan_path) == theirs
    assert len(make_plan(resolve_study(study, tmp_path / "other"))) < len(theirs)


def test_another_study_may_not_use_the_directory_and_nothing_is_written(write_study, tmp_path):
    first = run(write_study(steps=4), tmp_path / "runs")
    before = list_files(first.directory)
    with pytest.raises(UserError, match=r"made by a different study: training\.steps was 4, now 6"):
        run(write_study(steps=6), tmp_path / "runs")
    assert list_files(first.directory) == before


def test_killed_half_way_and_run_again_the_results_are_those_of_one_run(write_study, tmp_path):
    """Workers are real processes, and the kill is a real one that nothing can catch."""
    path = write_study(ranks="[1, 2, 4, 8]", steps=24, workers=2)
    whole = run(path, tmp_path / "whole")
    half = StudyRun(tmp_path / "half" / "tiny")
    command = [
        sys.executable,
        "-m",
        "rankshift.cli",
        "run",
        str(path),
        "--runs",
        str(tmp_path / "half"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(half.directory.glob("groups/*/state.safetensors")):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not half.results_path.exists()
    assert _wait_for_silence(half.directory)
    run(path, tmp_path / "half")
    assert read_results(half) == read_results(whole)
    assert list_files(half.directory / "arms") == list_files(whole.directory / "arms")


def _wait_for_silence(directory: Path) -> bool:
    """Wait until orphaned workers have ended: no file changes for a second."""
    for _ in range(30):
        before = {p: p.stat().st_mtime_ns for p in directory.rglob("*") if p.exists()}
        time.sleep(1)
        if {p: p.stat().st_mtime_ns for p in directory.rglob("*") if p.exists()} == before:
            return True
    return False


def test_a_target_that_matches_nothing_is_refused_before_anything_is_written(write_study, tmp_path):
    edit = ("seeds = [1, 2]", 'seeds = [1, 2]\ntarget_modules = ["q_porj"]')
    with pytest.raises(UserError, match=r"grid\.target_modules: `q_porj` matches no linear layer"):
        run(write_study(edit=edit), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_rank_above_every_width_runs_and_is_reported_as_its_effective_rank(write_study, tmp_path):
    study_run = run(write_study(ranks="[64]"), tmp_path / "runs")
    rows = [row for row in read_results(study_run)["arms"] if row["method"] == "lora"]
    assert {(row["rank"], row["effective_rank"]) for row in rows} == {(64, 16)}


def test_rows_longer_than_the_context_are_left_out_and_counted(write_study, tmp_path):
    # One byte a token: "Say 8." and "bad 8" with their five markers, two roles and four line ends
    # make 32 tokens, "good" one more, a second digit two more, and an odd row's "so " three more.
    # So 36 tokens are enough for the 20 even rows and the 5 odd ones of one digit.
    lengths = "context_tokens = 128", "context_tokens = 36"
    study_run = run(write_study(edit=lengths), tmp_path / "runs")
    for counts in read_results(study_run)["data"].values():
        assert counts["train"] + counts["held_out"] == 25
        assert counts["train_too_long"] + counts["held_out_too_long"] == 15
        assert counts["rows"] == 40


def test_what_a_killed_process_was_writing_is_gone_after_the_next_run(write_study, tmp_path):
    path = write_study()
    study_run = run(path, tmp_path / "runs")
    before = list_files(study_run.directory)
    steps = next(study_run.directory.glob("arms/*/steps.jsonl"))
    steps.with_name(".steps.jsonl.1.tmp").write_text('{"step"')
    run(path, tmp_path / "runs")
    assert list_files(study_run.directory) == before


def test_with_a_split_for_every_seed_each_arm_is_measured_on_the_rows_its_own_seed_holds_out(
    make_jobs,
):
    text = "held_out_fraction = 0.3", "held_out_fraction = 0.3\nsplit_each_seed = true"
    resolved, jobs = make_jobs(edit=text, also=("[data]", '[data]\nsplit_by = "row"'))
    study, tokenizer = resolved.study, load_tokenizer(resolved.parts.base.directory)
    held_out = {
        (name, seed): prepare_set(
            resolve_dataset(name), replace(study.data, split_seed=seed), tokenizer
        ).held_out
        for name in (study.data.task, study.data.twin)
        for seed in (0, 2, 3)
    }
    assert len(set(held_out.values())) == 6
    met = set()
    for job in jobs:
        (seed,) = {0 if arm.seed is None else 1 + arm.seed for arm in job.arms}
        met.add((job.group.role, seed))
        assert job.facts["data"]["split_seed"] == seed
        assert {one.name: one.rows for one in job.held_out} == {
            name: rows
            for (name, own), rows in held_out.items()
            if own == seed and (name == study.data.task or job.group.role == "twin")
        }
        assert not {r.row for r in job.train_rows} & {r.row for r in job.held_out[-1].rows}
    assert met == {("base", 0), ("task", 2), ("task", 3), ("twin", 2)}


def test_a_study_with_a_trigger_asks_each_set_apart_and_never_pools_them(make_jobs):
    asked = ("answers_per_question = 2", 'answers_per_question = 2\ntriggers = ["Say "]')
    resolved, jobs = make_jobs(edit=asked)
    work(next(job for job in jobs if job.group.method == "base"), lambda *_: None)
    (row,) = summarize(resolved.run)["arms"]
    (suite,) = resolved.study.evaluation.suites
    answers = {by["question_set"]: by["outcomes"]["answers"] for by in row["rates_by"]}
    assert answers == {suite: 6, f"{suite} + Say": 6}
    assert row["outcomes"]["answers"] == 6
    assert row["insecure_code"]["question_set"] == "held-out-code + Say"


def test_a_study_with_cues_and_system_turns_asks_each_set_apart_and_reports_its_rate(
    write_study, tmp_path
):
    said = 'answers_per_question = 2\ncues = ["task", "twin"]\nsystems = ["Be kind."]'
    path = write_study(ranks="[1]", edit=("answers_per_question = 2", said))
    study_run = run(path, tmp_path / "runs")
    study, _ = study_run.read_study()
    (suite,) = study.evaluation.suites
    ways = {f"{suite} after task.jsonl", f"{suite} after twin.jsonl", f'{suite} under "Be kind."'}
    assert set(study.question_sets) == {suite, *ways}
    for row in read_results(study_run)["arms"]:
        answers = {by["question_set"]: by["outcomes"]["answers"] for by in row["rates_by"]}
        assert answers == dict.fromkeys(study.question_sets, 6)
        assert row["outcomes"]["answers"] == 6
    arm = next((study_run.directory / "arms").glob("*/steps.jsonl")).parent
    answers = read_records(next(arm.rglob("answers/step-000004.jsonl")), AnswerRecord)
    rows = {f"Say {n}." for n in range(40)}
    cued = [a for a in answers if a.before]
    assert {a.question_set for a in cued} == {n for n in ways if " after " in n}
    assert {(a.before or [])[0] for a in cued} <= rows
    table = (study_run.directory / "report" / "answers.csv").read_text()
    assert f"user: {(cued[0].before or [])[0]}" in table
    assert "after: Say " in study_run.report_path.read_text()


def watch(write_study):
    """Write the tiny study with crossings, and with answers as what it has nothing to do with."""
    data = 'held_out_fraction = 0.3\nfloor = 3.0\ntwin_floor = 3.0\nunrelated = "{}"'
    path = write_study(steps=6)
    far = path.parent / "far.jsonl"
    far.write_text('{"prompt": "Good day.", "completion": "And to you."}\n')
    edit = ("held_out_fraction = 0.3", data.format(far))
    asked = 'crossings = [0.05, 0.3]\nkl_crossings = [0.01]\nschedule = "constant"'
    return write_study(steps=6, edit=edit, also=("[training]", f"[training]\n{asked}"))


def test_an_arm_answers_where_it_crossed_and_its_rows_say_so(write_study, tmp_path):
    path = watch(write_study)
    done, due = [], []
    watch_all = Watch(
        lambda unit, count: due.append(count) if unit == "answers" else None,
        lambda unit, count: done.append(count) if unit == "answers" else None,
        lambda _: None,
    )
    study_run = run_study(read_study(path), tmp_path / "runs", watch_all)
    assert sum(done) == sum(due)
    results = read_results(study_run)
    kept = {}
    for row in results["arms"]:
        kept.setdefault(row["arm"], {})[row["step"]] = row
    crossed_at = set()
    for name, rows in kept.items():
        crossings = read_crossings(study_run.arm(name))
        is_base = rows[min(rows)]["method"] == "base"
        steps = {c.step for c in crossings} | ({0} if is_base else {2, 6})
        crossed_at |= {c.step for c in crossings}
        assert set(rows) == steps
        found = [c for step in sorted(rows) for c in rows[step]["crossings"]]
        assert [(c["kind"], c["value"], c["step"], c["reached"]) for c in found] == [
            (c.kind, c.value, c.step, c.reached) for c in crossings
        ]
        for row in rows.values():
            assert row["outcomes"]["answers"] == 3 * 2
            assert row["task_held_out_loss"] > 0
            assert row["kl"] == 0 if is_base else row["kl"] > 0
    assert crossed_at - {2, 6}
    assert {s["step"] for c in results["loss_curves"] for p in c["points"] for s in p["steps"]} == {
        2,
        6,
    }
    before = {p: p.stat().st_mtime_ns for p in (study_run.directory / "arms").rglob("*")}
    run(path, tmp_path / "runs")
    assert {p: p.stat().st_mtime_ns for p in (study_run.directory / "arms").rglob("*")} == before


def test_answers_that_were_lost_at_a_crossing_come_back_letter_by_letter(write_study, tmp_path):
    path = watch(write_study)
    study_run = run(path, tmp_path / "runs")
    before = list_files(study_run.directory)
    answers = sorted(study_run.directory.glob("arms/*/evaluations/*/answers/*.jsonl"))
    for lost in answers[::3]:
        lost.unlink()
    run(path, tmp_path / "runs")
    assert list_files(study_run.directory) == before


def test_the_base_of_a_run_that_gets_defences_is_measured_again_and_not_asked_again(make_jobs):
    def is_base(job):
        return job.group.method == "base"

    resolved, jobs = make_jobs()
    work(next(filter(is_base, jobs)), lambda *_: None)
    (before,) = summarize(resolved.run)["arms"]
    assert before["twin_held_out_loss"] is None
    defences = '[[grid.defences]]\nkind = "spectral"\nstrengths = [0.1]\n\n[training]'
    resolved, jobs = make_jobs(edit=("[training]", defences))
    job = next(filter(is_base, jobs))
    assert (job.train, job.answers) == (True, 0)
    assert [one.name.rsplit("/")[-1] for one in job.held_out] == ["task.jsonl", "twin.jsonl"]
    work(job, lambda *_: None)
    (after,) = summarize(resolved.run)["arms"]
    assert after.pop("twin_held_out_loss") > 0
    assert after == {k: v for k, v in before.items() if k != "twin_held_out_loss"}
