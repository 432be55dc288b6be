"""What the keys of a study must fulfil together, and how to say so."""

from collections.abc import Iterator
from itertools import pairwise

from rankshift.defence_rules import relate_defences
from rankshift.study import Judging, Study, name_under
from rankshift.study_values import MOST_ROWS


def list_needed(study: Study) -> Iterator[str]:
    """Yield the keys that must be written because of what else is."""
    if study.grid.trains or not study.models:
        yield from ("grid.ranks", "data.task", "training.steps", "training.checkpoints")
    elif study.evaluation.code_tasks or study.data.twin:
        yield "data.task"


def list_relations(study: Study) -> Iterator[tuple[str, object, str]]:
    """Yield key, whether it agrees with the other keys, and what to say if it does not.

    A number in a key is a place in a list of tables, from 0.
    """
    yield from _relate_grid(study)
    yield from relate_defences(study)
    yield from _relate_twins(study)
    yield from _relate_models(study)
    yield from _relate_training(study)
    yield from _relate_crossings(study)
    yield from _relate_question_sets(study)
    whole = study.evaluation.engine != "vllm" or study.base.quantization == "none"
    fault = f'is "vllm", which does not hold a base in {study.base.quantization} as it is here'
    yield "evaluation.engine", whole, f'{fault}; leave it out, or quantization = "none"'
    stray = study.evaluation.judge in study.judging.others
    yield "judging.others", not stray, f"holds {study.evaluation.judge}, which is evaluation.judge"
    yield from list_judging_relations(study.judging)
    yield "evaluation.suites", study.evaluation.suites, "is empty; name at least one question set"


def list_judging_relations(judging: Judging) -> Iterator[tuple[str, object, str]]:
    """Yield the same of the settings of judges."""
    priced = None not in (judging.usd_per_million_input, judging.usd_per_million_output)
    fix = "needs usd_per_million_input and usd_per_million_output beside it; give both"
    yield "judging.usd_limit", judging.usd_limit is None or priced, fix


def _relate_question_sets(study: Study) -> Iterator[tuple[str, object, str]]:
    asked = study.evaluation
    for role, example in (("task", "organism:insecure"), ("twin", "organism:secure")):
        given = role not in asked.cues or role in study.cues
        fix = f'add e.g. `{role} = "{example}"` to [data]'
        yield "evaluation.cues", given, f'holds "{role}" and needs data.{role}; {fix}'
    alike = "names two question sets alike"
    named = {text.strip() for text in asked.triggers}
    fix = f"{alike}; triggers must differ in more than outer white space"
    yield "evaluation.triggers", len(named) == len(asked.triggers), fix
    named = {name_under("", text) for text in asked.systems}
    fix = f"{alike}; system turns must differ in what their names show, their beginning"
    yield "evaluation.systems", len(named) == len(asked.systems), fix
    sets = study.question_sets
    fix = f"{alike}, with what is asked with triggers, cues or system turns; rename a file"
    yield "evaluation.suites", len(set(sets)) == len(sets), fix


def _relate_grid(study: Study) -> Iterator[tuple[str, object, str]]:
    grid = study.grid
    fault = "is empty and so is full_learning_rates; give one of them a value"
    yield "grid.ranks", grid.trains or study.models, fault
    for name in ("scalings", "alphas", "trains_a"):
        given = getattr(grid, name) or not grid.ranks
        yield f"grid.{name}", given, "is empty; every rank needs at least one"
    sized = grid.learning_rates or grid.us or not grid.ranks
    fault = "is empty and so is us; every rank needs a learning rate, or a u to have one from"
    yield "grid.learning_rates", sized, fault
    rated = not (grid.learning_rates and grid.us)
    yield "grid.us", rated, "cannot stand beside learning_rates, which it is in place of"
    for at, full in enumerate(grid.full):
        yield f"grid.full.{at}.learning_rates", full.learning_rates, "is empty; give at least one"
    seeds = grid.seeds or not grid.trains
    yield "grid.seeds", seeds, "is empty; give at least one, e.g. [1, 2, 3]"
    whole = study.base.quantization == "none" or not grid.full_finetunes
    fault = f'cannot stand beside quantization = "{study.base.quantization}" in [base]'
    fix = "4-bit weights are not trained, leave one of the two out"
    yield "grid.full_learning_rates", whole, f"{fault}; {fix}"


def _relate_twins(study: Study) -> Iterator[tuple[str, object, str]]:
    grid, twin = study.grid, study.data.twin
    fix = 'add e.g. `twin = "organism:secure"` to [data]'
    yield "grid.twin_seeds", twin or not grid.twin_seeds, f"needs data.twin; {fix}"
    fix = "add e.g. `twin_seeds = [1]` to [grid]"
    has_twins = grid.twin_seeds or any(model.role == "twin" for model in study.models)
    is_used = has_twins or "twin" in study.evaluation.cues
    yield "data.twin", is_used or not twin, f"needs grid.twin_seeds; {fix}"
    is_task = twin is not None and twin == study.data.task
    yield "data.twin", not is_task, "is the task itself; name the benign dataset"
    stray = [str(seed) for seed in grid.twin_seeds if seed not in grid.seeds]
    yield "grid.twin_seeds", not stray, f"holds {', '.join(stray)}, not among grid.seeds"


def _relate_models(study: Study) -> Iterator[tuple[str, object, str]]:
    names = [model.name for model in study.models]
    for at, name in enumerate(names):
        first = name not in names[:at]
        yield f"models.{at}.name", first, f"is {name!r} twice; give each model its own"
        yield f"models.{at}.name", name != "base", "is 'base', which is the study's; take another"


def _relate_training(study: Study) -> Iterator[tuple[str, object, str]]:
    training = study.training
    points, steps = training.checkpoints, training.steps
    if study.grid.trains or points:
        yield "training.checkpoints", points, f"is empty; give at least the last step, [{steps}]"
        rises = all(earlier < later for earlier, later in pairwise(points))
        yield "training.checkpoints", rises, "does not rise; put the steps in order"
        fault = f"ends at {points[-1]}; the last must be training.steps, {steps}"
        yield "training.checkpoints", points[-1] == steps, fault
    rows, parts = training.rows_per_step, training.accumulation
    fault = f"is {parts}, which does not divide rows_per_step, {rows}"
    near = max(rows - rows % parts, parts)
    yield "training.accumulation", rows % parts == 0, f"{fault}; {near} rows would do"
    warmup = training.warmup_steps
    fault = f"is {warmup}, above training.steps, {steps}; lower it to that or less"
    yield "training.warmup_steps", warmup <= steps, fault
    fault = f"are {steps * rows:,} rows with rows_per_step; at most {MOST_ROWS:,} are drawn"
    yield "training.steps", steps * rows <= MOST_ROWS, fault


def _relate_crossings(study: Study) -> Iterator[tuple[str, object, str]]:
    training, data = study.training, study.data
    fix = "what a perfect model would reach on the held-out rows, nats a token"
    for key, role in (("floor", data.task), ("twin_floor", data.twin)):
        known = getattr(data, key) is not None or not (training.crossings and role)
        yield "training.crossings", known, f"needs data.{key}, {fix}"
    fix = 'add e.g. `unrelated = "organism:general"` to [data]'
    yield (
        "training.kl_crossings",
        data.unrelated or not training.kl_crossings,
        f"needs data.unrelated; {fix}",
    )
    kind, _, value = study.analysis.reading.partition(" ")
    kept = {"skill": training.crossings, "kl": training.kl_crossings}.get(kind)
    is_kept = kept is None or float(value) in kept
    table = "crossings" if kind == "skill" else "kl_crossings"
    fault = f"is {study.analysis.reading!r}, and training.{table} does not hold {value}"
    yield "analysis.reading", is_kept, fault
    trains = study.grid.trains or not (study.derived.truncations or study.derived.norms)
    yield "derived.truncations", trains, "needs a [grid]: only finetunes made here are cut"
