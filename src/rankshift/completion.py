"""Which checkpoints are due of an arm, and which are done, from its files alone."""

from dataclasses import replace

from rankshift.arms import Arm
from rankshift.derivation import find_source_id, list_kept_steps
from rankshift.records import HeldOutRecord, StepRecord, read_if_there
from rankshift.runs import ArmFiles, Fingerprints, Recipe, StudyRun, make_recipe
from rankshift.study import Role, Study
from rankshift.watch_files import crossings_path, looks_path, read_crossings, read_divergences


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
    """Name the datasets whose held-out loss an arm reports; none in a study without a task."""
    names: dict[Role, str | None] = {"task": study.data.task, "twin": study.data.twin}
    named = [names[role] for role in list_held_out_roles(arm.role, study)]
    return tuple(name for name in named if name is not None)


def list_held_out_roles(role: Role, study: Study) -> tuple[Role, ...]:
    """List the roles on whose data an arm's held-out loss is measured: the task's, a twin's own.

    The base's is measured on the twin's too where the grid has defences: what a defended twin has
    learned counts from there.
    """
    reads_twin = role == "twin" or (role == "base" and bool(study.grid.defences))
    return ("task", "twin") if reads_twin else ("task",)


def find_unrelated_set(arm: Arm, study: Study) -> str | None:
    """Name the conversations on which an arm's divergence from the base is measured.

    None in a study without such, and of a whole model given: the base is not beside it.
    """
    return None if arm.method == "model" else study.data.unrelated


def list_checkpoint_steps(files: ArmFiles, recipe: Recipe) -> tuple[int, ...]:
    """List the steps whose weights an arm keeps: those of the recipe, and where it crossed."""
    crossed = {crossing.step for crossing in read_crossings(files)}
    return tuple(sorted(crossed.union(recipe.measured_at)))


def find_due_steps(files: ArmFiles, recipe: Recipe) -> tuple[int, ...]:
    """List the same, without what would come after the step that stopped the arm."""
    stop = find_stop(files)
    return tuple(s for s in list_checkpoint_steps(files, recipe) if stop is None or s < stop)


def find_measured_steps(
    files: ArmFiles,
    recipe: Recipe,
    held_out_sets: tuple[str, ...],
    unrelated: str | None = None,
) -> set[int]:
    """Find the steps whose weights are kept and of which all that is asked for is recorded.

    That is the loss on every held-out set, and the divergence on unrelated conversations.
    """
    records = read_if_there(files.held_out_path, HeldOutRecord)
    losses = {(record.step, record.dataset) for record in records}
    far = {(record.step, record.dataset) for record in read_divergences(files)}
    return {
        step
        for step in list_checkpoint_steps(files, recipe)
        if files.held_out_path.exists()
        and all((step, name) in losses for name in held_out_sets)
        and (unrelated is None or (step, unrelated) in far)
        and (recipe.training is None or any(files.checkpoint(step).glob("*.safetensors")))
    }


def is_trained(
    files: ArmFiles, recipe: Recipe, held_out_sets: tuple[str, ...], unrelated: str | None = None
) -> bool:
    """Say whether every checkpoint of the recipe is kept and measured; the base is only measured.

    An arm that diverged and was stopped never is; `find_stop` tells of it.
    """
    training = recipe.training
    asks = training is not None and bool(training.crossings or training.kl_crossings)
    is_watched = asks and files.steps_path.exists()  # what is derived takes no steps
    if is_watched and not (looks_path(files).exists() and crossings_path(files).exists()):
        return False
    measured = find_measured_steps(files, recipe, held_out_sets, unrelated)
    return measured == set(list_checkpoint_steps(files, recipe))


def find_stop(files: ArmFiles) -> int | None:
    """Give the step at which the arm stopped: a number was not finite, or its loss exploded."""
    record = read_stop(files)
    return None if record is None else record.step


def read_stop(files: ArmFiles) -> StepRecord | None:
    """Give the record of that step, None of an arm that was not stopped."""
    records = read_if_there(files.steps_path, StepRecord)
    return records[-1] if records and records[-1].stops else None
