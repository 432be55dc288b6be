"""Read a study strictly from TOML: a typing error must never become another experiment."""

import json
import re
import reprlib
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from rankshift.errors import UserError
from rankshift.fidelity import fill_in
from rankshift.import_study import (
    IMPORT_EXAMPLES,
    SAME_RULE,
    TRAINED_HERE,
    ImportStudy,
    list_import_relations,
)
from rankshift.study import Judging, Study
from rankshift.study_rules import (
    list_judging_relations,
    list_needed,
    list_relations,
)
from rankshift.study_values import EXAMPLES, RULES
from rankshift.toml_source import Key, Source, join_key, read_text
from rankshift.variants import VARIANTS, choose_variants


def read_study(path: Path) -> Study:
    """Read a file of one study.

    Raises:
        UserError: The first thing that is wrong, as `path:line: ...`.
    """
    studies = read_studies(path, whole=True)
    if len(studies) > 1:
        raise UserError(f"{path}: holds {len(studies)} studies; name one of them with --only")
    return studies[0]


def read_studies(path: Path, only: str | None = None, *, whole: bool = False) -> list[Study]:
    """Read the studies of a file: one, or one for each of its variants.

    Args:
        path: The file.
        only: The variant that is wanted; None takes those that the file names first.
        whole: Whether to take every variant.

    Raises:
        UserError: The first thing that is wrong, as `path:line: ...`.
    """
    source = Source(path, read_text(path))
    shared = source.parse()
    if VARIANTS not in shared:
        if only is not None:
            raise source.error((), f"there is no variant {only!r}, for there are no [variants]")
        return [_read_document(shared, source)]
    return [
        _read_document(document, replace(source, within=(VARIANTS, name)))
        for name, document in choose_variants(shared, source, only, whole=whole).items()
    ]


def _read_document(document: dict[str, Any], source: Source) -> Study:
    if "imports" in document:
        return _read_imports(document, source)
    study = _read_table(Study, fill_in(document), (), source)
    for table, setting in (name.split(".") for name in list_needed(study)):
        if table not in document:
            raise source.error((), _describe_missing((table,), get_type_hints(Study)[table]))
        if setting not in document[table]:
            raise source.error((table,), _describe_missing((table, setting), None))
    _check(list_relations(study), source)
    return study


def read_judging(path: Path) -> Judging:
    """Read a file that holds one table, [judging], as strictly as a study.

    Raises:
        UserError: The first thing that is wrong, as `path:line: ...`.
    """
    source = Source(path, read_text(path))
    document = source.parse()
    if set(document) != {"judging"}:
        raise source.error((), "expected one table, [judging], and nothing else")
    judging = _read_value(document["judging"], Judging, ("judging",), source)
    _check(list_judging_relations(judging), source)
    return judging


def _read_imports(document: dict[str, Any], source: Source) -> Study:
    for table in TRAINED_HERE:
        if table in document:
            fault = f"[{table}] cannot stand beside [[imports]], whose arms are trained elsewhere"
            raise source.error((table,), f"{fault}; give each a study file of its own")
    study = _read_table(ImportStudy, document, (), source)
    _check(list_import_relations(study), source)
    return study.to_study()


def _check(relations: Iterator[tuple[str, object, str]], source: Source) -> None:
    for name, holds, message in relations:
        if not holds:
            key = tuple(name.split("."))
            raise source.error(key, f"{join_key(key)} {message}")


def _read_table(kind: Any, table: dict[str, Any], where: Key, source: Source) -> Any:
    """Build one dataclass of the study from one table, key by key."""
    hints = get_type_hints(kind)
    for key in ((*where, name) for name in table if name not in hints):
        raise source.error(key, _describe_unknown(key, table[key[-1]], hints))
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
    quoted = (part if re.fullmatch(r"[\w-]+", part) else json.dumps(part) for part in key)
    dotted = join_key(tuple(quoted))
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
    dotted = join_key(key)
    if is_dataclass(hint):
        parted = (known.rpartition(".") for known in EXAMPLES)
        needs = [own for table, _, own in parted if table == dotted]
        instead = "; or name finished models in [[models]]" if dotted == "grid" else ""
        return f"missing table [{dotted}]; it needs {', '.join(needs)}{instead}"
    table = f"[[{join_key(key[:-1])}]]" if key[-2:-1] and key[-2].isdigit() else f"[{key[0]}]"
    place = f"to {table}" if len(key) > 1 else "at the top"
    return f"missing key {dotted}; add e.g. `{(EXAMPLES | IMPORT_EXAMPLES)[dotted]}` {place}"


def _read_value(value: Any, hint: Any, key: Key, source: Source) -> Any:
    dotted = join_key(key)
    if is_dataclass(hint):
        if not isinstance(value, dict):
            raise source.error(key, f"{dotted} is no table; write [{dotted}] above its keys")
        return _read_table(hint, value, key, source)
    is_list = get_origin(hint) is tuple
    item_hint = get_args(hint)[0] if is_list else hint
    if is_list and is_dataclass(item_hint):
        return _read_tables(value, item_hint, key, source)
    if is_list and not isinstance(value, list):
        shown = reprlib.repr(value)
        raise source.error(key, f"{dotted} is {shown}; expected a list, e.g. [{shown}]")
    if is_list and get_origin(item_hint) is tuple:
        return _read_sets(value, item_hint, key, source)
    return _read_setting(value, item_hint, is_list, key, source)


def _read_setting(value: Any, item_hint: Any, is_list: bool, key: Key, source: Source) -> Any:
    """Read one value, or a list of values."""
    dotted = join_key(key)
    rules = [rule for rule in RULES if SAME_RULE.get(dotted, dotted) in rule[0].split()]
    items: list[Any] = []
    for item in value if is_list else [value]:
        fitted, fault = _fit(item, item_hint)
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


def _read_tables(value: Any, kind: Any, key: Key, source: Source) -> Any:
    """Read a list of tables; the place of each stands in the keys of what it holds."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        fault = f"{join_key(key)} is no list of tables"
        raise source.error(key, f"{fault}; write [[{join_key(key)}]] above the keys of each")
    return tuple(_read_table(kind, item, (*key, str(at)), source) for at, item in enumerate(value))


def _read_sets(value: list[Any], hint: Any, key: Key, source: Source) -> Any:
    """Read a list of sets; a list with no list in it is one set."""
    dotted = ".".join(key)
    if not value:
        raise source.error(key, f"{dotted} is empty; every rank needs at least one")
    is_one = not any(isinstance(item, list) for item in value)
    sets = [value] if is_one else value
    found: list[Any] = []
    for given in sets:
        shown = reprlib.repr(given)
        if not isinstance(given, list):
            fix = f"put it into a list of its own, [{shown}]"
            raise source.error(key, f"{dotted} holds {shown} beside lists; {fix}")
        if not given:
            raise source.error(key, f"{dotted} holds []; every set needs at least one")
        items = _read_value(given, hint, key, source)
        if set(items) in map(set, found):
            raise source.error(key, f"{dotted} holds {shown}; it is there twice")
        found.append(items)
    return tuple(found)


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
    names |= {bool: "true or false"}
    wanted = [names[o] for o in options if o in names] + [f'"{choice}"' for choice in choices]
    return None, "expected " + " or ".join(wanted)
