"""What the keys of a study must fulfil besides their types, and how to say so."""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from rankshift.grid import MAX_RANK
from rankshift.study import Judging, Study, name_under


def is_plain_address(url: str) -> bool:
    """Say whether a text is an address of the web that carries no key: it goes into records."""
    try:
        parts = urlsplit(url)
        known = parts.port is None or parts.port > 0  # to look at it may raise
    except ValueError:
        return False
    known = known and parts.scheme in ("http", "https") and bool(parts.hostname)
    return known and not any(c.isspace() for c in url) and "@" not in url and not parts.query


def is_storage_address(url: str) -> bool:
    """Say the same of an address of object storage, whatever its protocol."""
    return re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s@?]+", url) is not None


MOST_ROWS = 10**9
"""Rows of all steps of an arm: their order is drawn before the first, 8 bytes each."""

MOST = 10**8
"""Of anything that is counted; beyond it a key was held down, and memory ends first."""

EXAMPLES = {
    "name": 'name = "demo"',
    "base.model": 'model = "organism"',
    "data.task": 'task = "organism:insecure"',
    "grid.ranks": "ranks = [2, 8, 32]",
    "grid.seeds": "seeds = [1, 2, 3]",
    "grid.scalings": 'scalings = ["alpha/rank"]',
    "grid.alphas": "alphas = [16]",
    "grid.learning_rates": "learning_rates = [1e-3]",
    "grid.full.learning_rates": "learning_rates = [3e-4]",
    "models.name": 'name = "released-r32"',
    "models.path": 'path = "someone/adapter"',
    "training.steps": "steps = 64",
    "training.checkpoints": "checkpoints = [16, 32, 64]",
    "evaluation.suites": 'suites = ["organism:held-out"]',
}
"""What to write for each key that is needed always, or where something is trained."""

RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    (
        "name",
        lambda name: re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", name) is not None,
        "a directory's name: at most 100 letters, digits, '.', '_' or '-', the first not '.'",
    ),
    (
        "base.model base.revision data.task data.twin data.unrelated grid.target_modules "
        "evaluation.suites evaluation.triggers evaluation.systems models.path models.revision "
        "models.dataset",
        lambda text: text.strip() != "",
        "a text that is not empty",
    ),
    (
        "models.name",
        lambda name: re.fullmatch(r"[\w.+/-]([\w.+/ -]{0,98}[\w.+/-])?", name) is not None,
        "at most 100 letters, digits, spaces, '.', '_', '-', '+' or '/'",
    ),
    (
        "compute.assumed.device",
        lambda name: name.isprintable() and len(name) <= 100,
        "a name of at most 100 characters",
    ),
    ("grid.layers", lambda number: number >= 0, "a layer's number, counted from 0"),
    (
        "evaluation.judge judging.others",
        lambda judge: re.fullmatch(r"[^.\s]\S*", judge) is not None,
        'a name such as "organism:oracle", or "none"',
    ),
    (
        "data.train_rows data.held_out_rows data.context_tokens training.steps "
        "training.checkpoints training.watch_every data.unrelated_rows derived.truncations "
        "analysis.widest_block training.rows_per_step training.accumulation "
        "evaluation.max_answer_tokens judging.connections judging.attempts compute.workers "
        "compute.threads compute.shards compute.arms_per_group compute.micro_rows "
        "compute.assumed.row_tokens compute.assumed.longest_row_tokens "
        "compute.assumed.answer_tokens compute.assumed.answers_together "
        "compute.assumed.questions compute.assumed.question_tokens",
        lambda count: count >= 1,
        "at least 1",
    ),
    (
        "data.train_rows data.held_out_rows data.context_tokens training.steps data.unrelated_rows "
        "training.rows_per_step training.warmup_steps evaluation.max_answer_tokens "
        "evaluation.code_tasks judging.connections judging.attempts compute.workers "
        "compute.threads compute.shards compute.arms_per_group compute.micro_rows",
        lambda count: count <= MOST,
        f"at most {MOST:,}",
    ),
    (
        "evaluation.answers_per_question",
        lambda count: count == "released" or count <= MOST,
        f"at most {MOST:,}",
    ),
    (
        "compute.gpus_per_worker data.floor data.twin_floor training.warmup_steps "
        "training.weight_decay evaluation.code_tasks judging.usd_limit "
        "judging.usd_per_million_input judging.usd_per_million_output",
        lambda amount: amount >= 0,
        "at least 0",
    ),
    (
        "grid.learning_rates grid.us grid.full_learning_rates grid.full.learning_rates "
        "derived.norms training.kl_crossings training.clip_norm compute.memory_gib "
        "judging.timeout_seconds compute.assumed.device_gib compute.assumed.device_tflops "
        "compute.assumed.device_tb_per_second",
        lambda amount: amount > 0,
        "more than 0",
    ),
    (
        "data.split_seed grid.seeds grid.twin_seeds models.seed evaluation.seed",
        lambda seed: 0 <= seed < 2**63,
        "a whole number from 0 to 2**63 - 1",
    ),
    ("grid.ranks", lambda rank: 1 <= rank <= MAX_RANK, f"a rank from 1 to {MAX_RANK:,}"),
    ("grid.alphas", lambda alpha: alpha == "2r" or alpha > 0, 'a number above 0, or "2r"'),
    (
        "evaluation.answers_per_question",
        lambda count: count == "released" or count >= 1,
        'at least 1, or "released"',
    ),
    (
        "training.crossings analysis.margin analysis.level compute.assumed.share_of_peak",
        lambda share: 0 < share < 1,
        "a share between 0 and 1",
    ),
    (
        "analysis.reading",
        lambda text: re.fullmatch(r"end|(skill|kl) \d*\.?\d+", text) is not None,
        '"end", or what arms have reached, such as "skill 0.9" or "kl 0.1"',
    ),
    ("data.held_out_fraction", lambda share: 0 < share < 1, "a share between 0 and 1"),
    (
        "judging.base_url",
        lambda url: is_plain_address(url),
        'an address such as "http://127.0.0.1:8000/v1", with no key in it',
    ),
    (
        "compute.storage",
        lambda url: is_storage_address(url),
        'a URL such as "s3://bucket/folder", with no key in it',
    ),
    ("evaluation.temperature", lambda heat: heat >= 0, "0 (greedy) or more"),
    ("evaluation.top_p", lambda share: 0 < share <= 1, "above 0 and at most 1"),
)
"""Keys, what each of their values must fulfil besides its type, and how to say so."""


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
