"""Run a study to its end, or continue it: every stage does what is not done yet."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from rankshift.arms import Arm
from rankshift.completion import list_held_out_roles
from rankshift.executor.devices import check_gpu
from rankshift.executor.dispatch import dispatch
from rankshift.executor.given_jobs import add_given, choose_held_out
from rankshift.executor.job import Job
from rankshift.executor.judging import JudgingStage
from rankshift.executor.parts import (
    describe_rows,
    read_suites,
)
from rankshift.executor.plan import (
    Fit,
    Group,
    plan_groups,
    read_plan,
    sort_longest_first,
    write_plan,
)
from rankshift.executor.resolving import ResolvedStudy, resolve_study
from rankshift.executor.room import GIB, Room, find_largest_batch, fit_arms, is_tight
from rankshift.executor.storage.mirror import fetch_plan, find_mirror, send_run, settle_run
from rankshift.executor.todo import Todo, list_todo
from rankshift.executor.torchrun import check_shards
from rankshift.executor.vllm.child import find_vllm
from rankshift.executor.vllm.stage import find_unanswered, generate_answers
from rankshift.executor.watch import Watch
from rankshift.lock import hold_run
from rankshift.model.operations import count_step
from rankshift.model.targets import covers
from rankshift.opening import open_run
from rankshift.preregistration import register
from rankshift.repair import repair_run
from rankshift.report.page import sum_up
from rankshift.runs import (
    StudyRun,
)
from rankshift.study import Study


def run_study(study: Study, root: Path, watch: Watch) -> StudyRun:
    """Train, answer, judge, analyze and report what is not done yet.

    Raises:
        UserError: Something the user wrote cannot be done; nothing was written then.
        WorkError: A process died; what was finished is kept.
    """
    mirror = find_mirror(study)
    sets = [name for name in (study.data.task, study.data.twin) if name is not None]
    watch.say(f"reading {' and '.join(sets or study.evaluation.suites)}")
    resolved = resolve_study(study, root)
    for warning in filter(None, (part.warning for part in resolved.parts.given)):
        watch.say(warning)
    by_vllm = study.evaluation.engine == "vllm"
    run = resolved.run
    if mirror:
        fetch_plan(mirror, run.directory)
    planned, groups = read_plan(run.plan_path), make_plan(resolved)
    if by_vllm and _is_open(groups, resolved):
        find_vllm()  # now, not after training
    watch.say(describe_plan(groups, resolved.room))
    open_run(study, resolved.parts.fingerprints, root)
    with hold_run(run.directory) as left:
        if left is not None:
            watch.say(f"taking over from {left.label}, which ended without letting go")
        if read_plan(run.plan_path) != planned:  # by who held the run until just now
            groups = make_plan(resolved)
        if mirror:
            watch.say(f"bringing the run and {mirror.url} together")
            settle_run(mirror, groups, run.directory)
        for line in repair_run(run):
            watch.say(line)
        register(study, resolved.parts.fingerprints, run)
        _train_and_ask(groups, resolved, watch)
        judge_missing(resolved, watch)
        watch.say("summing up")
        sum_up(run)
        if mirror:
            send_run(mirror, run.directory)
    return run


def _train_and_ask(groups: list[Group], resolved: ResolvedStudy, watch: Watch) -> None:
    """Do what is not done of every group, those of derived arms after all others."""
    study, run = resolved.study, resolved.run
    by_vllm, mirror = study.evaluation.engine == "vllm", find_mirror(study)
    # Now, not before: another process may have gone on with the run until it let go.
    todo = list_todo(groups, resolved, derived=False)
    jobs = make_jobs(todo, resolved)
    later = list_todo(groups, resolved, derived=True)
    if todo or later:
        write_plan(run.plan_path, groups)
        if mirror:  # a run that another machine takes up has the same groups
            send_run(mirror, run.directory)
        watch.begin("steps", sum(map(count_steps, jobs)))
        if not by_vllm:
            watch.begin("answers", sum(one.answers for one in (*todo, *later)))
        dispatch(jobs, study.compute, run.directory, watch.advance)
        later = list_todo(groups, resolved, derived=True)  # what was kept, and who stopped
        dispatch(make_jobs(later, resolved), study.compute, run.directory, watch.advance)
    unanswered = find_unanswered(groups, resolved) if by_vllm else []
    if unanswered:
        jobs = [make_job(Todo(group, False, 0), resolved) for group in unanswered]
        generate_answers(jobs, resolved, watch)
    if mirror and (todo or later or unanswered):  # nothing done is sent at the end of the run
        send_run(mirror, run.directory)


def _is_open(groups: list[Group], resolved: ResolvedStudy) -> bool:
    """Say whether any arm is yet to be trained, measured or asked."""
    todo = [
        one for derived in (False, True) for one in list_todo(groups, resolved, derived=derived)
    ]
    return bool(todo or find_unanswered(groups, resolved))


def make_plan(resolved: ResolvedStudy) -> list[Group]:
    """Keep the groups that are planned, and put the other arms into groups that fit into memory.

    Raises:
        UserError: An arm does not fit even alone, or is not done in shards.
    """
    study = resolved.study
    check_shards(study)
    if study.compute.executor == "local":
        check_gpu(study.compute)
    shards = study.compute.shards

    def find_fit(arms: list[Arm]) -> Fit | None:
        if not arms[0].is_trained:
            return Fit(shards=shards)
        # The same for every seed that shares a split, so that arms alike are tried once.
        alike = (arms[0].seed or 0,) if study.data.split_each_seed else study.grid.seeds
        lengths = resolved.row_lengths(arms[0].role, arms[0].seed)
        largest = find_largest_batch(lengths, study.training, alike)
        base = resolved.parts.base.directory
        return fit_arms(arms, base, study.training, largest, resolved.room, shards)

    planned = _keep_whole(read_plan(resolved.run.plan_path), resolved.arms)
    return plan_groups(
        resolved.arms,
        planned,
        study.compute,
        partial(cost_of, resolved),
        find_fit,
        lambda arm: study.data.find_split_seed(arm.seed),
    )


def describe_plan(groups: list[Group], room: Room) -> str:
    """Say in a line how arms are grouped and what the largest group needs."""
    largest = max(groups, key=lambda group: group.fit.total_bytes).fit
    again = sum(group.fit.checkpointing for group in groups)
    checkpointed = f", {again} of them with layers computed again" if again else ""
    arms = sum(len(group.arms) for group in groups)
    parts = max(group.fit.shards for group in groups)
    sharded = f", bases held by up to {parts} processes each" if parts > 1 else ""
    told = f"{arms} arms in {len(groups)} groups{checkpointed}{sharded}"
    if not largest.total_bytes:  # nothing is trained
        return told
    taken = f"{largest.total_bytes / GIB:.2f} GiB of a worker's {room}"
    return f"{told}; the largest takes {taken}"


def _keep_whole(planned: list[Group], arms: dict[str, Arm]) -> list[Group]:
    """Drop groups with an arm the study no longer asks for; their other arms are planned anew."""
    return [group for group in planned if all(name in arms for name in group.arms)]


def cost_of(resolved: ResolvedStudy, arm: Arm) -> float:
    """Give the floating-point operations of one step of an arm, those equal for all aside.

    What is not trained is only asked, which takes each about equally long.
    """
    if not arm.is_trained:
        return 1.0
    projections, tokens = resolved.parts.projections, resolved.batch_tokens
    dtype, rank = resolved.study.training.dtype, arm.rank or 0
    covered = {name for name in projections if covers(arm.subset, name)}
    if arm.method == "full":  # the gradients of the weights come on top
        trained = covered if arm.target_modules else projections
        return float(
            sum(
                count_step([widths], tokens, 0, dtype) * (1.5 if name in trained else 1.0)
                for name, widths in projections.items()
            )
        )
    return float(
        sum(
            count_step([widths], tokens, rank if name in covered else 0, dtype, arm.trains_a)
            for name, widths in projections.items()
        )
    )


def make_jobs(todo: list[Todo], resolved: ResolvedStudy) -> list[Job]:
    """Collect the jobs of several groups, those first that take longest."""
    jobs = [make_job(one, resolved) for one in todo]
    return sort_longest_first(jobs, lambda job: sum(cost_of(resolved, arm) for arm in job.arms))


def make_job(todo: Todo, resolved: ResolvedStudy) -> Job:
    """Collect what a process needs for one group."""
    group, parts = todo.group, resolved.parts
    arms = tuple(resolved.arms[name] for name in group.arms)
    material = resolved.find_material(arms[0].split_by_seed)
    job = Job(
        study=resolved.study,
        fingerprints=parts.fingerprints,
        base_directory=parts.base.directory,
        base_name=parts.base.name if parts.base.revision else str(parts.base.directory),
        run_directory=resolved.run.directory,
        group=group,
        arms=arms,
        train_rows=(),
        held_out=choose_held_out(material.sets, list_held_out_roles(group.role, resolved.study)),
        unrelated=material.unrelated,
        questions=material.questions,
        choices=material.choices,
        evaluation=resolved.evaluation,
        facts={"base_revision": parts.base.revision},
        train=todo.train,
        answers=todo.answers,
        tight=is_tight(group.fit, resolved.room),
    )
    if arms[0].is_given:
        return add_given(job, resolved.study, parts)
    own, facts = material.sets.get(group.role), describe_rows(material, group.role) | job.facts
    rows = own.train if own else ()
    is_defended = todo.train and any(arm.defence for arm in arms)
    means = [resolved.armoury.equip(arm, rows) for arm in arms] if is_defended else []
    return replace(job, train_rows=rows, means=tuple(means), facts=facts)


def count_steps(job: Job) -> int:
    """Count the arm-steps a job trains."""
    return job.study.training.steps * len(job.arms) if job.train and job.arms[0].is_trained else 0


def judge_missing(resolved: ResolvedStudy, watch: Watch) -> None:
    """Let every judge of the study read the answers it has not judged; answers are never touched.

    Raises:
        WorkError: Money or patience ran out; all that was said is kept.
    """
    study, run = resolved.study, resolved.run
    stage = JudgingStage(run, resolved.evaluation, tuple(resolved.arms), study.judging, watch)
    sources = resolved.parts.questions
    stage.judge_all(resolved.parts.judges, lambda: read_suites(sources, study))
