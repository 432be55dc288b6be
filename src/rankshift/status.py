"""How far the arms of a study are, from its files alone: no lock, no waiting, nothing written."""

from dataclasses import astuple, dataclass, replace
from pathlib import Path

from rankshift.arms import Arm
from rankshift.derivation import find_source_id, list_kept_steps
from rankshift.errors import UserError
from rankshift.records import HeldOutRecord, R, StepRecord, read_records
from rankshift.runs import (
    ArmFiles,
    Fingerprints,
    Recipe,
    StudyRun,
    evaluation_id,
    identify_arms,
    make_recipe,
)
from rankshift.study import Study


@dataclass(frozen=True)
class Progress:
    """What is done, out of what is due."""

    trained_steps: int = 0
    total_steps: int = 0
    checkpoints: int = 0
    """Due to be measured, answered and judged; the base counts as one."""
    measured: int = 0
    """Checkpoints whose weights are kept and whose held-out losses are recorded."""
    answered: int = 0
    """Checkpoints that have answered the study's present evaluation."""
    judged: int = 0
    """Checkpoints whose answers the study's present judge has judged."""

    def __add__(self, other: "Progress") -> "Progress":
        return Progress(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def is_finished(self) -> bool:
        """Say whether nothing is left to train, measure, ask or judge."""
        return self.checkpoints == self.measured == self.answered == self.judged


@dataclass(frozen=True)
class ArmStatus:
    """How far one arm is."""

    label: str
    id: str
    progress: Progress
    stopped_at: int | None = None
    """The step whose loss or gradient was not finite; what comes after it is not due. Of a derived
    arm its source's: then nothing of it is due."""


@dataclass(frozen=True)
class StudyStatus:
    """How far a study is."""

    name: str
    arms: tuple[ArmStatus, ...]

    @property
    def total(self) -> Progress:
        """Sum over the arms."""
        return sum((arm.progress for arm in self.arms), Progress())


def describe_progress(run_directory: Path) -> StudyStatus:
    """Say how far each arm of a study is; the study may be running.

    Raises:
        UserError: The directory is not a study's, or a file in it was edited.
    """
    run = StudyRun(run_directory)
    if not run.study_path.exists():
        raise UserError(
            f"{run_directory} is not a study's directory: it has no study.json; "
            "give one that `rankshift run` made, e.g. runs/demo"
        )
    study, fingerprints = run.read_study()
    evaluation = evaluation_id(study.evaluation, fingerprints.questions)
    arms = []
    for name, arm in identify_arms(study, fingerprints).items():
        if study.imports:
            arms.append(_describe_import(run.arm(name), arm, evaluation, study.evaluation.judge))
            continue
        files, recipe = run.arm(name), make_due_recipe(run, arm, study, fingerprints)
        source = find_source_id(arm, study, fingerprints)
        stop = find_stop(files if source is None else run.arm(source))
        measured = find_measured_steps(files, recipe, list_held_out_sets(arm, study))
        due = [step for step in recipe.measured_at if stop is None or step < stop]
        answers = [files.answers_path(evaluation, step) for step in due]
        verdicts = [files.verdicts_path(evaluation, study.evaluation.judge, step) for step in due]
        progress = Progress(
            trained_steps=_count_trained_steps(files),
            total_steps=_count_due_steps(recipe, stop) if source is None else 0,
            checkpoints=len(due),
            measured=len(measured & set(due)),
            answered=sum(path.exists() for path in answers),
            judged=sum(path.exists() for path in verdicts),
        )
        arms.append(ArmStatus(arm.label, name, progress, stop))
    return StudyStatus(study.name, tuple(arms))


def _describe_import(files: ArmFiles, arm: Arm, evaluation: str, judge: str) -> ArmStatus:
    """Say whether an arm's answers are here; it has no weights, so none are left to measure."""
    answered = int(files.answers_path(evaluation, 0).exists())
    judged = int(files.verdicts_path(evaluation, judge, 0).exists())
    progress = Progress(0, 0, checkpoints=1, measured=1, answered=answered, judged=judged)
    return ArmStatus(arm.label, files.directory.name, progress)


def make_due_recipe(run: StudyRun, arm: Arm, study: Study, fingerprints: Fingerprints) -> Recipe:
    """Collect what determines an arm, with the checkpoints that are due of it.

    A derived arm's are those its source has kept or will keep; none where the source stopped.
    """
    recipe = make_recipe(arm, study, fingerprints)
    source = find_source_id(arm, study, fingerprints)
    if source is None or recipe.training is None:
        return recipe
    files = run.arm(source)
    steps = tuple(sorted({*recipe.measured_at, *list_kept_steps(files)}))
    due = steps if find_stop(files) is None else ()
    return replace(recipe, training=replace(recipe.training, checkpoints=due))


def list_held_out_sets(arm: Arm, study: Study) -> tuple[str, ...]:
    """Name the datasets whose held-out loss an arm reports: the task's, and a twin's own.

    There are none in a study without a task.
    """
    named = (study.data.task, study.data.twin if arm.role == "twin" else None)
    return tuple(name for name in named if name is not None)


def find_measured_steps(
    files: ArmFiles, recipe: Recipe, held_out_sets: tuple[str, ...]
) -> set[int]:
    """Find the steps whose weights are kept and whose loss on every held-out set is recorded."""
    if not files.held_out_path.exists():
        return set()
    records = read_records(files.held_out_path, HeldOutRecord)
    losses = {(record.step, record.dataset) for record in records}
    return {
        step
        for step in recipe.measured_at
        if all((step, name) in losses for name in held_out_sets)
        and (recipe.training is None or any(files.checkpoint(step).glob("*.safetensors")))
    }


def is_trained(files: ArmFiles, recipe: Recipe, held_out_sets: tuple[str, ...]) -> bool:
    """Say whether every checkpoint of the recipe is kept and measured; the base is only measured.

    An arm that stopped on a loss that was not finite never is; `find_stop` tells of it.
    """
    return find_measured_steps(files, recipe, held_out_sets) == set(recipe.measured_at)


def find_stop(files: ArmFiles) -> int | None:
    """Give the step at which the arm stopped because its loss or gradient was not finite."""
    records = _read_if_there(files.steps_path, StepRecord)
    if records and (records[-1].loss is None or records[-1].grad_norm is None):
        return records[-1].step
    return None


def _count_trained_steps(files: ArmFiles) -> int:
    """Count the updates made; the step that stopped an arm made none."""
    records = _read_if_there(files.steps_path, StepRecord)
    return max((r.step for r in records if None not in (r.loss, r.grad_norm)), default=0)


def _count_due_steps(recipe: Recipe, stop: int | None) -> int:
    if stop is not None:
        return stop - 1
    return 0 if recipe.training is None else recipe.training.steps


def _read_if_there(path: Path, kind: type[R]) -> list[R]:
    return read_records(path, kind) if path.exists() else []
