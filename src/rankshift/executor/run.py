"""Run a study to its end, or continue it: every stage does what is not done yet."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rankshift.analysis.results import summarize, write_results
from rankshift.eval.judging import judge_answers
from rankshift.executor.parts import Material, Parts, describe_rows, find_parts, prepare_material
from rankshift.executor.plan import Group, plan_groups, read_plan, write_plan
from rankshift.executor.processes import run_jobs
from rankshift.executor.worker import Job
from rankshift.lock import hold_run
from rankshift.model.loading import load_tokenizer
from rankshift.records import AnswerRecord, read_records, write_records
from rankshift.report.page import write_page
from rankshift.runs import (
    ArmFiles,
    StudyRun,
    evaluation_id,
    identify_arms,
    make_recipe,
    open_run,
)
from rankshift.status import find_stop, is_trained, list_held_out_sets
from rankshift.study import Arm, Study
from rankshift.train.group import HeldOut


@dataclass(frozen=True)
class Watch:
    """How a run tells what it is doing."""

    begin: Callable[[int, int], None]
    """Called once, with the arm-steps to train and the arm-checkpoints to answer."""
    advance: Callable[[str, int], None]
    """Called with `steps` or `answers`, and how many more are done."""
    say: Callable[[str], None]
    """Called with a line on each stage."""


@dataclass(frozen=True)
class Todo:
    """What is left to do for one group."""

    group: Group
    train: bool
    answer_steps: tuple[int, ...]


def run_study(study: Study, root: Path, watch: Watch) -> StudyRun:
    """Train, answer, judge, analyze and report what is not done yet.

    Raises:
        UserError: Something the user wrote cannot be done; nothing was written then.
        WorkError: A process died; what was finished is kept.
    """
    parts = find_parts(study)
    arms = identify_arms(study, parts.fingerprints)
    run = StudyRun(root / study.name)
    groups = plan_groups(arms, _keep_whole(read_plan(run.plan_path), arms), study.compute)
    todo = [t for t in (find_todo(g, arms, study, parts, run) for g in groups) if t]
    if todo:
        watch.say(
            f"preparing {study.data.task}" + (f" and {study.data.twin}" if parts.twin else "")
        )
        material = prepare_material(study, parts, load_tokenizer(parts.base.directory))
        run = open_run(study, parts.fingerprints, root)
        with hold_run(run.directory):
            write_plan(run.plan_path, groups)
            jobs = [make_job(t, arms, study, parts, material, run) for t in todo]
            watch.begin(
                sum(map(count_steps, jobs)), sum(len(j.answer_steps) * len(j.arms) for j in jobs)
            )
            run_jobs(jobs, study.compute.workers, watch.advance)
    run = open_run(study, parts.fingerprints, root)
    with hold_run(run.directory):
        judge_missing(arms, study, parts, run, watch)
        watch.say("summing up")
        results = summarize(run)
        write_results(run, results)
        write_page(run, results)
    return run


def _keep_whole(planned: list[Group], arms: dict[str, Arm]) -> list[Group]:
    """Drop groups with an arm the study no longer asks for; their other arms are planned anew."""
    return [group for group in planned if all(name in arms for name in group.arms)]


def find_todo(
    group: Group, arms: dict[str, Arm], study: Study, parts: Parts, run: StudyRun
) -> Todo | None:
    """Find what is left to do for a group, None for nothing."""
    evaluation = evaluation_id(study.evaluation, parts.fingerprints.questions)
    train, steps = False, set()
    for name in group.arms:
        files, recipe = run.arm(name), make_recipe(arms[name], study, parts.fingerprints)
        stop = find_stop(files)
        if stop is None:
            trained = is_trained(files, recipe, list_held_out_sets(arms[name], study))
            # Provenance comes last: without it the process died between the two.
            train |= not (trained and files.provenance_path.exists())
        due = [step for step in recipe.measured_at if stop is None or step < stop]
        steps |= {s for s in due if not files.answers_path(evaluation, s).exists()}
    return Todo(group, train, tuple(sorted(steps))) if train or steps else None


def make_job(
    todo: Todo,
    arms: dict[str, Arm],
    study: Study,
    parts: Parts,
    material: Material,
    run: StudyRun,
) -> Job:
    """Collect what a process needs for one group."""
    group = todo.group
    own = material.sets.get(group.role)
    measured = {material.sets["task"].name: material.sets["task"].held_out}
    if own is not None:
        measured[own.name] = own.held_out
    return Job(
        study=study,
        fingerprints=parts.fingerprints,
        base_directory=parts.base.directory,
        base_name=parts.base.name if parts.base.revision else str(parts.base.directory),
        run_directory=run.directory,
        group=group,
        arms=tuple(arms[name] for name in group.arms),
        train_rows=own.train if own else (),
        held_out=tuple(HeldOut(name, rows) for name, rows in measured.items()),
        questions=material.questions,
        evaluation=evaluation_id(study.evaluation, parts.fingerprints.questions),
        facts=describe_rows(material, group.role) | {"base_revision": parts.base.revision},
        train=todo.train,
        answer_steps=todo.answer_steps,
    )


def count_steps(job: Job) -> int:
    """Count the arm-steps a job trains."""
    return (
        job.study.training.steps * len(job.arms) if job.train and job.group.method != "base" else 0
    )


def judge_missing(
    arms: dict[str, Arm], study: Study, parts: Parts, run: StudyRun, watch: Watch
) -> None:
    """Judge every answer the study's judge has not judged; answers are never touched."""
    evaluation = evaluation_id(study.evaluation, parts.fingerprints.questions)
    missing = [
        (files, step)
        for files in (run.arm(name) for name in arms)
        for step in (0, *study.training.checkpoints)
        if files.answers_path(evaluation, step).exists()
        and not files.verdicts_path(evaluation, study.evaluation.judge, step).exists()
    ]
    if missing:
        watch.say(f"judging with {study.evaluation.judge}")
    for files, step in missing:
        _judge_file(files, evaluation, study.evaluation.judge, step, parts)


def _judge_file(files: ArmFiles, evaluation: str, judge: str, step: int, parts: Parts) -> None:
    answers = read_records(files.answers_path(evaluation, step), AnswerRecord)
    write_records(files.verdicts_path(evaluation, judge, step), judge_answers(answers, parts.judge))
