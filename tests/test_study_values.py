"""Every key of a study has what tells a user how to write it."""

from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

from rankshift.study import Study
from rankshift.study_file import read_study
from rankshift.study_values import EXAMPLES, RULES


def walk_fields():
    for table, hint in get_type_hints(Study).items():
        kind = next((k for k in (hint, *get_args(hint)) if is_dataclass(k)), None)
        if kind is not None and table != "imports":  # a study of their own: test_import_study
            yield from walk_table(table, kind)


def walk_table(table, kind):
    """Walk one table, and the tables and lists of tables in it."""
    for spec in fields(kind):
        hint = get_type_hints(kind)[spec.name]
        inner = next((k for k in (hint, *get_args(hint)) if is_dataclass(k)), None)
        if inner is not None:
            yield from walk_table(f"{table}.{spec.name}", inner)
        else:
            yield f"{table}.{spec.name}", hint, spec


def is_choice(hint: object) -> bool:
    """Say whether a type leaves nothing but a few words, or true and false, to choose from."""
    inner = get_args(hint)[0] if get_origin(hint) is tuple else hint
    options = {*(get_args(inner) if get_origin(inner) in (UnionType, Union) else [inner])} - {
        type(None)
    }
    return all(option is bool or get_origin(option) is Literal for option in options)


def test_every_required_key_has_an_example_that_can_be_pasted(tmp_path):
    required = {key for key, _, spec in walk_fields() if spec.default is MISSING}
    to_train = {"data.task", "grid.learning_rates", "training.steps", "training.checkpoints"}
    assert set(EXAMPLES) == {*required, *to_train, "name"}
    tables = {}
    for key, example in EXAMPLES.items():
        tables.setdefault(key.rpartition(".")[0], []).append(example)
    text = "\n".join(tables.pop("")) + "\n"
    text += "".join(f"[{table}]\n" + "\n".join(lines) + "\n" for table, lines in tables.items())
    for name in ("models", "grid.full", "grid.defences"):
        text = text.replace(f"[{name}]", f"[[{name}]]")
    (tmp_path / "x.toml").write_text(text)
    assert read_study(tmp_path / "x.toml").grid.ranks == (2, 8, 32)


def test_every_number_and_free_text_has_a_rule():
    ruled = {key for keys, _, _ in RULES for key in keys.split()}
    closed = {key for key, hint, _ in walk_fields() if is_choice(hint)}  # a choice is rule enough
    assert "training.schedule" in closed
    assert "base.model" not in closed
    assert ruled == {key for key, _, _ in walk_fields()} - closed | {"name"}
