"""Run a study to its end, or continue it: every stage does what is not done yet."""

from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from rankshift.analysis.results import summarize, write_results
from rankshift.arms import Arm
from rankshift.executor.given_jobs import add_given, choose_held_out
from rankshift.executor.judging import JudgingStage
from rankshift.executor.parts import (
    Material,
    Parts,
    describe_rows,
    find_parts,
    prepare_material,
    read_suites,
)
from rankshift.executor.plan import Fit, Group, plan_groups, read_plan, write_plan
from rankshift.executor.processes import run_jobs
from rankshift.executor.room import GIB, find_largest_batch, fit_arms, is_tight, share_memory
from rankshift.executor.watch import Watch
from rankshift.executor.worker import Job
from rankshift.lock import hold_run
from rankshift.model.loading import load_tokenizer
from rankshift.model.operations import count_step
from rankshift.model.targets import covers
from rankshift.opening import open_run
from rankshift.preregistration import register
from rankshift.report.page import write_page
from rankshift.runs import (
    StudyRun,
    evaluation_id,
    identify_arms,
    make_recipe,
)
from rankshift.status import find_stop, is_trained, list_held_out_sets
from rankshift.study import Role, Study


@dataclass(frozen=True)
class ResolvedStudy:
    """A study, what its names stand for, and where its results go."""

    study: Study
    parts: Parts
    arms: dict[str, Arm]
    """By id, in the order of the grid."""
    run: StudyRun
    evaluation: str
    """The evaluation's id."""
    materials: dict[int, Material] = field(default_factory=dict)
    """By the seed of the split; what has been asked for."""

    @property
    def material(self) -> Material:
        """Give what the base is measured on; where seeds share a split, so are all arms."""
        return self.find_material(None)

    def find_material(self, seed: int | None) -> Material:
        """Read, split and render the data of a seed, once and only when something is left to do.

        Raises:
            UserError: A row or a question file is malformed, or a set comes out empty.
        """
        data = replace(self.study.data, split_seed=self.study.data.find_split_seed(seed))
        if data.split_seed not in self.materials:
            study = replace(self.study, data=data)
            tokenizer = load_tokenizer(self.parts.base.directory)
            self.materials[data.split_seed] = prepare_material(study, self.parts, tokenizer)
        return self.materials[data.split_seed]

    @cached_property
    def room(self) -> int:
        """Give the bytes that each worker may use, read once: what is free changes."""
        return share_memory(self.study.compute)

    def row_lengths(self, role: Role, seed: int | None) -> tuple[int, ...]:
        """Give the tokens of every training row of a role and seed; none for the base."""
        prepared = self.find_material(seed).sets.get(role)
        return tuple(len(row.token_ids) for row in prepared.train) if prepared else ()

    @cached_property
    def batch_tokens(self) -> int:
        """Give the tokens of one arm's micro-batch of task rows of mean length, padding aside."""
        training, rows = self.study.training, self.material.sets["task"].train
        total = sum(len(row.token_ids) for row in rows)
        return training.rows_per_step * total // (training.accumulation * len(rows))


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
    sets = [name for name in (study.data.task, study.data.twin) if name is not None]
    watch.say(f"reading {' and '.join(sets or study.evaluation.suites)}")
    resolved = resolve_study(study, root)
    for warning in filter(None, (part.warning for part in resolved.parts.given)):
        watch.say(warning)
    run = resolved.run
    groups = make_plan(resolved)
    watch.say(describe_plan(groups, resolved.room))
    todo = [t for t in (find_todo(group, resolved) for group in groups) if t]
    jobs = [make_job(one, resolved) for one in todo]
    open_run(study, resolved.parts.fingerprints, root)
    with hold_run(run.directory):
        register(study, resolved.parts.fingerprints, run)
        if jobs:
            write_plan(run.plan_path, groups)
            watch.begin("steps", sum(map(count_steps, jobs)))
            watch.begin("answers", sum(len(job.answer_steps) * len(job.arms) for job in jobs))
            run_jobs(jobs, study.compute.workers, watch.advance)
        judge_missing(resolved, watch)
        watch.say("summing up")
        results = summarize(run)
        write_results(run, results)
        write_page(run, results)
    return run


def resolve_study(study: Study, root: Path) -> ResolvedStudy:
    """Find everything a study names; nothing is written.

    Raises:
        UserError: A part is not to be had, or does not fit the base.
    """
    parts = find_parts(study)
    return ResolvedStudy(
        study=study,
        parts=parts,
        arms=identify_arms(study, parts.fingerprints),
        run=StudyRun(root / study.name),
        evaluation=evaluation_id(study.evaluation, parts.fingerprints.questions),
    )


def make_plan(resolved: ResolvedStudy) -> list[Group]:
    """Keep the groups that are planned, and put the other arms into groups that fit into memory.

    Raises:
        UserError: An arm does not fit even alone.
    """
    study = resolved.study

    def find_fit(arms: list[Arm]) -> Fit | None:
        if not arms[0].is_trained:
            return Fit()
        # The same for every seed that shares a split, so that arms alike are tried once.
        alike = (arms[0].seed or 0,) if study.data.split_each_seed else study.grid.seeds
        lengths = resolved.row_lengths(arms[0].role, arms[0].seed)
        largest = find_largest_batch(lengths, study.training, alike)
        return fit_arms(arms, resolved.parts.base.directory, study.training, largest, resolved.room)

    planned = _keep_whole(read_plan(resolved.run.plan_path), resolved.arms)
    return plan_groups(
        resolved.arms,
        planned,
        study.compute,
        partial(cost_of, resolved),
        find_fit,
        lambda arm: study.data.find_split_seed(arm.seed),
    )


def describe_plan(groups: list[Group], room: int) -> str:
    """Say in a line how arms are grouped and what the largest group needs."""
    largest = max(groups, key=lambda group: group.fit.total_bytes).fit
    again = sum(group.fit.checkpointing for group in groups)
    checkpointed = f", {again} of them with layers computed again" if again else ""
    arms = sum(len(group.arms) for group in groups)
    told = f"{arms} arms in {len(groups)} groups{checkpointed}"
    if not largest.total_bytes:  # nothing is trained
        return told
    taken = f"{largest.total_bytes / GIB:.2f} GiB of a worker's {room / GIB:.1f}"
    return f"{told}; the largest takes {taken}"


def _keep_whole(planned: list[Group], arms: dict[str, Arm]) -> list[Group]:
    """Drop groups with an arm the study no longer asks for; their other arms are planned anew."""
    return [group for group in planned if all(name in arms for name in group.arms)]


def find_todo(group: Group, resolved: ResolvedStudy) -> Todo | None:
    """Find what is left to do for a group, None for nothing."""
    study, fingerprints = resolved.study, resolved.parts.fingerprints
    train, steps = False, set()
    for name in group.arms:
        arm, files = resolved.arms[name], resolved.run.arm(name)
        recipe = make_recipe(arm, study, fingerprints)
        stop = find_stop(files)
        if stop is None:
            trained = is_trained(files, recipe, list_held_out_sets(arm, study))
            # Provenance comes last: without it the process died between the two.
            train |= not (trained and files.provenance_path.exists())
        due = [step for step in recipe.measured_at if stop is None or step < stop]
        steps |= {s for s in due if not files.answers_path(resolved.evaluation, s).exists()}
    return Todo(group, train, tuple(sorted(steps))) if train or steps else None


def cost_of(resolved: ResolvedStudy, arm: Arm) -> float:
    """Give the floating-point operations of one step of an arm, those equal for all aside.

    What is not trained is only asked, which takes each about equally long.
    """
    if not arm.is_trained:
        return 1.0
    projections, tokens = resolved.parts.projections, resolved.batch_tokens
    dtype, rank = resolved.study.training.dtype, arm.rank or 0
    if arm.method == "full":  # the gradients of the weights come on top
        return 1.5 * count_step(projections.values(), tokens, 0, dtype)
    return float(
        sum(
            count_step([widths], tokens, rank if covers(arm.subset, name) else 0, dtype)
            for name, widths in projections.items()
        )
    )


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
        held_out=choose_held_out(material.sets, group.role),
        questions=material.questions,
        choices=material.choices,
        evaluation=resolved.evaluation,
        facts={"base_revision": parts.base.revision},
        train=todo.train,
        answer_steps=todo.answer_steps,
        tight=is_tight(group.fit, resolved.room),
    )
    if arms[0].is_given:
        return add_given(job, resolved.study, parts)
    own, facts = material.sets.get(group.role), describe_rows(material, group.role) | job.facts
    return replace(job, train_rows=own.train if own else (), facts=facts)


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
    stage.judge_all(resolved.parts.judges, lambda: read_suites(sources, study.evaluation))
