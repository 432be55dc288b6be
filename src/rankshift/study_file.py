"""Read a study strictly from TOML: a typing error must never become another experiment."""

import json
import re
import reprlib
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from rankshift.errors import UserError
from rankshift.study import MAX_RANK, Study

Key = tuple[str, ...]

EXAMPLES = {
    "name": 'name = "demo"',
    "base.model": 'model = "organism"',
    "data.task": 'task = "organism:insecure"',
    "grid.ranks": "ranks = [2, 8, 32]",
    "grid.seeds": "seeds = [1, 2, 3]",
    "grid.scalings": 'scalings = ["alpha/rank"]',
    "grid.alphas": "alphas = [16]",
    "grid.learning_rates": "learning_rates = [1e-3]",
    "training.steps": "steps = 64",
    "training.checkpoints": "checkpoints = [16, 32, 64]",
    "evaluation.suites": 'suites = ["organism:held-out"]',
}
"""What to write for each required key."""

RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    (
        "name",
        lambda name: re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", name) is not None,
        "a directory's name: at most 100 letters, digits, '.', '_' or '-', the first not '.'",
    ),
    (
        "base.model base.revision data.task data.twin grid.target_modules evaluation.suites",
        lambda text: text.strip() != "",
        "a text that is not empty",
    ),
    (
        "evaluation.judge",
        lambda judge: re.fullmatch(r"[^.\s]\S*", judge) is not None,
        'a name such as "organism:oracle", or "none"',
    ),
    (
        "data.train_rows data.held_out_rows data.context_tokens training.steps "
        "training.checkpoints training.rows_per_step training.accumulation "
        "evaluation.answers_per_question evaluation.max_answer_tokens compute.workers "
        "compute.threads compute.arms_per_group compute.micro_rows",
        lambda count: count >= 1,
        "at least 1",
    ),
    (
        "training.warmup_steps training.weight_decay evaluation.code_tasks",
        lambda amount: amount >= 0,
        "at least 0",
    ),
    (
        "grid.learning_rates grid.full_learning_rates training.clip_norm",
        lambda amount: amount > 0,
        "more than 0",
    ),
    (
        "data.split_seed grid.seeds grid.twin_seeds evaluation.seed",
        lambda seed: 0 <= seed < 2**63,
        "a whole number from 0 to 2**63 - 1",
    ),
    ("grid.ranks", lambda rank: 1 <= rank <= MAX_RANK, f"a rank from 1 to {MAX_RANK:,}"),
    ("grid.alphas", lambda alpha: alpha == "2r" or alpha > 0, 'a number above 0, or "2r"'),
    ("data.held_out_fraction", lambda share: 0 < share < 1, "a share between 0 and 1"),
    ("evaluation.temperature", lambda heat: heat >= 0, "0 (greedy) or more"),
    ("evaluation.top_p", lambda share: 0 < share <= 1, "above 0 and at most 1"),
)
"""Keys, what each of their values must fulfil besides its type, and how to say so."""


def read_study(path: Path) -> Study:
    """Read one study file.

    Raises:
        UserError: The first thing that is wrong, as `path:line: ...`.
    """
    source = _Source(path, _read_text(path))
    study = _read_table(Study, source.parse(), (), source)
    for key, holds, message in _list_relations(study):
        if not holds:
            raise source.error(tuple(key.split(".")), f"{key} {message}")
    return study


def find_line(text: str, key: Key) -> int:
    """Give the line, from 1, on which the statement begins that sets a key, or else its table.

    A TOML statement ends with its line, so the first lines of a document parse by themselves
    exactly when no statement is open at their end. Thus the parser itself tells where each
    statement begins, whatever its strings, comments and lists hold.
    """
    for length in range(len(key), 0, -1):
        for line, document in _list_statements(text):
            if _is_set(document, key[:length]):
                return line
    return 1


def _list_statements(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each statement's first line and all that is set at its end; at last what is open."""
    lines = text.split("\n")
    begin = 1
    for end in range(1, len(lines) + 1):
        try:
            document = tomllib.loads("\n".join(lines[:end]) + "\n")
        except (ValueError, RecursionError):
            continue
        yield begin, document
        begin = end + 1
    yield min(begin, len(lines)), {}


def _is_set(document: object, key: Key) -> bool:
    for part in key:
        if not isinstance(document, dict) or part not in document:
            return False
        document = document[part]
    return True


@dataclass(frozen=True)
class _Source:
    path: Path
    text: str

    def error(self, key: Key, message: str) -> UserError:
        return UserError(f"{self.path}:{find_line(self.text, key)}: {message}")

    def parse(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self.text)
        except (ValueError, RecursionError) as error:
            message, _, place = str(error).partition(" (at ")
            *_, (line, _) = _list_statements(self.text)
            if numbered := re.match(r"line (\d+)", place):
                line = int(numbered[1])
            raise UserError(f"{self.path}:{line}: not TOML: {message}") from None


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {_suggest_file(path)}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a TOML file") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from None


def _suggest_file(path: Path) -> str:
    there = sorted(file.stem for file in path.parent.glob("*.toml"))
    near = get_close_matches(path.stem, there, n=1) or there[:3]
    if not near:
        return f"{path.parent} holds no .toml file"
    return "did you mean " + " or ".join(f"{path.parent / name}.toml" for name in near) + "?"


def _read_table(kind: Any, table: dict[str, Any], where: Key, source: _Source) -> Any:
    """Build one dataclass of the study from one table, key by key."""
    hints = get_type_hints(kind)
    for name in table:
        if name not in hints:
            key = (*where, name)
            raise source.error(key, _describe_unknown(key, table[name], hints))
    values = {}
    for spec in fields(kind):
        key = (*where, spec.name)
        if spec.name in table:
            values[spec.name] = _read_value(table[spec.name], hints[spec.name], key, source)
        elif spec.default is MISSING and spec.default_factory is MISSING:
            raise source.error(where, _describe_missing(key, hints[spec.name]))
    return kind(**values)


def _describe_unknown(key: Key, value: object, hints: dict[str, Any]) -> str:
    name = key[-1]
    dotted = ".".join(part if re.fullmatch(r"[\w-]+", part) else json.dumps(part) for part in key)
    what = f"unknown table [{dotted}]" if isinstance(value, dict) else f"unknown key {dotted}"
    top = get_type_hints(Study)
    tables = {name: get_type_hints(kind) for name, kind in top.items() if is_dataclass(kind)}
    for cutoff in (0.8, 0.6):  # a slip of the pen, else another table's key, else a far likeness
        if near := get_close_matches(name, hints, n=1, cutoff=cutoff):
            meant = f"[{near[0]}]" if near[0] in tables and len(key) == 1 else f"`{near[0]}`"
            return f"{what}; did you mean {meant}?"
        if homes := [f"[{table}]" for table, known in tables.items() if name in known]:
            return f"{what}; it belongs in {' or '.join(homes)}"
        if name in top:
            return f"{what}; it belongs at the top, before the first [table]"
    return f"{what}; there are {', '.join(hints)}"


def _describe_missing(key: Key, hint: Any) -> str:
    dotted = ".".join(key)
    if is_dataclass(hint):
        needs = [known.partition(".")[2] for known in EXAMPLES if known.startswith(f"{dotted}.")]
        return f"missing table [{dotted}]; it needs {', '.join(needs)}"
    place = f"to [{key[0]}]" if len(key) > 1 else "at the top"
    return f"missing key {dotted}; add e.g. `{EXAMPLES[dotted]}` {place}"


def _read_value(value: Any, hint: Any, key: Key, source: _Source) -> Any:
    dotted = ".".join(key)
    if is_dataclass(hint):
        if not isinstance(value, dict):
            raise source.error(key, f"{dotted} is no table; write [{dotted}] above its keys")
        return _read_table(hint, value, key, source)
    is_list = get_origin(hint) is tuple
    if is_list and not isinstance(value, list):
        shown = reprlib.repr(value)
        raise source.error(key, f"{dotted} is {shown}; expected a list, e.g. [{shown}]")
    rules = [rule for rule in RULES if dotted in rule[0].split()]
    items: list[Any] = []
    for item in value if is_list else [value]:
        fitted, fault = _fit(item, get_args(hint)[0] if is_list else hint)
        for _, holds, expected in rules:
            if fault is None and not holds(fitted):
                fault = f"expected {expected}"
        if fault is None and fitted in items:
            fault = "it is there twice"
        if fault is not None:
            verb = "holds" if is_list else "is"
            raise source.error(key, f"{dotted} {verb} {reprlib.repr(item)}; {fault}")
        items.append(fitted)
    return tuple(items) if is_list else items[0]


def _fit(value: object, hint: Any) -> tuple[Any, str | None]:
    """Give a value as its type asks, and no fault; or the fault that it is of another type."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    choices = [choice for option in options for choice in get_args(option)]
    if isinstance(value, str) and value in choices:
        return value, None
    if float in options and isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) <= sys.float_info.max:
            return float(value), None
    elif type(value) in options:  # exactly: True is no whole number
        return value, None
    near = get_close_matches(value, choices, n=1, cutoff=0.4) if isinstance(value, str) else []
    if near:
        return None, f'did you mean "{near[0]}"?'
    names = {int: "a whole number", float: "a finite number", str: "a text in quotes"}
    wanted = [names[o] for o in options if o in names] + [f'"{choice}"' for choice in choices]
    return None, "expected " + " or ".join(wanted)


def _list_relations(study: Study) -> Iterator[tuple[str, object, str]]:
    """Yield key, whether it agrees with the other keys, and what to say if it does not."""
    grid, training, twin = study.grid, study.training, study.data.twin
    trains = grid.ranks or grid.full_learning_rates
    yield "grid.ranks", trains, "is empty and so is full_learning_rates; give one of them a value"
    for name in ("scalings", "alphas", "learning_rates", "target_modules"):
        given = getattr(grid, name) or not grid.ranks
        yield f"grid.{name}", given, "is empty; every rank needs at least one"
    yield "grid.seeds", grid.seeds, "is empty; give at least one, e.g. [1, 2, 3]"
    fix = 'add e.g. `twin = "organism:secure"` to [data]'
    yield "grid.twin_seeds", twin or not grid.twin_seeds, f"needs data.twin; {fix}"
    fix = "add e.g. `twin_seeds = [1]` to [grid]"
    yield "data.twin", grid.twin_seeds or not twin, f"needs grid.twin_seeds; {fix}"
    yield "data.twin", twin != study.data.task, "is the task itself; name the benign dataset"
    stray = [str(seed) for seed in grid.twin_seeds if seed not in grid.seeds]
    yield "grid.twin_seeds", not stray, f"holds {', '.join(stray)}, not among grid.seeds"
    points, steps = training.checkpoints, training.steps
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
    yield "training.warmup_steps", warmup <= steps, f"is {warmup}, above training.steps, {steps}"
    yield "evaluation.suites", study.evaluation.suites, "is empty; name at least one question set"
