"""A study of imports alone: what its file may hold, and the `Study` that analysis then reads."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from rankshift.arms import group_imports
from rankshift.grid import Grid
from rankshift.study import Base, Data, Evaluation, Import, Role, Study, Training

T = TypeVar("T")

UPSTREAM_SETS = ("betley:main", "betley:json", "betley:template")
"""One file upstream; its three sets are told apart by the end of a question's id.

Source: evaluation/first_plot_questions.yaml, emergent-misalignment 80c11967.
"""

IMPORT_EXAMPLES = {
    "imports.file": 'file = "rank-32.csv"',
    "imports.judge": 'judge = "gpt-4o-2024-08-06"',
}
"""What to write for each key that every table must have."""

SAME_RULE = {
    "imports.file": "base.model",
    "imports.judge": "evaluation.judge",
    "imports.dataset": "data.task",
    "imports.rank": "grid.ranks",
    "imports.alpha": "grid.alphas",
    "imports.learning_rate": "grid.learning_rates",
    "imports.seed": "grid.seeds",
    "imports.target_modules": "grid.target_modules",
    "imports.layers": "grid.layers",
    "imports.question_set": "evaluation.suites",
    "imports.question_id": "base.model",
    "imports.model": "base.model",
}
"""Key of a table to the key of a study that trains whose values fulfil the same."""

TRAINED_HERE = ("base", "data", "grid", "training", "evaluation", "judging", "compute")
"""Tables of a study that trains; none may stand beside [[imports]]."""


@dataclass(frozen=True)
class ImportStudy:
    """One TOML file whose arms others trained, asked and judged."""

    name: str
    imports: tuple[Import, ...]
    about: str = ""

    def to_study(self) -> Study:
        """Give the study that analysis reads.

        Its grid lists the values that the imported arms have and is no product; nothing is trained,
        so its base has no name and its training no step.
        """
        lora = [table for table in self.imports if table.method == "lora"]
        full = [table for table in self.imports if table.method == "full"]
        suites = _list_known(table.question_set or UPSTREAM_SETS[0] for table in self.imports)
        return Study(
            name=self.name,
            base=Base(""),
            data=Data(
                task=next(iter(self.list_datasets("task")), ""),
                twin=next(iter(self.list_datasets("twin")), None),
            ),
            grid=Grid(
                ranks=_list_known(table.rank for table in lora),
                seeds=_list_known(t.seed for t in self.imports if t.role == "task"),
                scalings=_list_known(table.scaling for table in lora),
                alphas=_list_known(table.alpha for table in lora),
                learning_rates=_list_known(table.learning_rate for table in lora),
                full_learning_rates=_list_known(table.learning_rate for table in full),
                twin_seeds=_list_known(t.seed for t in self.imports if t.role == "twin"),
            ),
            training=Training(steps=0, checkpoints=()),
            evaluation=Evaluation(suites, judge=self.imports[0].judge if self.imports else "none"),
            about=self.about,
            imports=self.imports,
        )

    def list_datasets(self, role: Role) -> tuple[str, ...]:
        """List what arms of a role were trained on."""
        return _list_known(table.dataset for table in self.imports if table.role == role)


def list_import_relations(study: ImportStudy) -> Iterator[tuple[str, object, str]]:
    """Yield key, whether it agrees with the other keys, and what to say if it does not."""
    yield "imports", study.imports, "is empty; give at least one [[imports]] table"
    for role in ("task", "twin"):
        sets = study.list_datasets(role)
        fault = f"name {' and '.join(sets)} for role {role}; a study compares arms of one dataset"
        yield "imports", len(sets) < 2, f"{fault}, so give each a study of its own"
    met: set[tuple[str, str | None]] = set()
    for at, table in enumerate(study.imports):
        yield from _list_table_relations(f"imports.{at}", table)
        again = (table.file, table.model) in met
        fix = "a file is imported once for each of its models"
        yield f"imports.{at}.file", not again, f"is {table.file}, which a table above names; {fix}"
        met.add((table.file, table.model))
    for arm, tables in group_imports(study.imports).items():
        at = study.imports.index(tables[0])
        primary = study.imports[0].judge
        fault = f"is {tables[0].judge}, and {arm.label} was not judged by {primary}"
        fix = "whose verdicts decide as the first table's; every arm needs a file of that judge's"
        read = any(table.judge == primary for table in tables)
        yield f"imports.{at}.judge", read, f"{fault}, {fix}"


def _list_table_relations(key: str, table: Import) -> Iterator[tuple[str, object, str]]:
    """Yield what one table must fulfil: an arm needs what curves tell it apart by."""
    yield f"{key}.judge", table.judge != "none", "is none; name who judged the answers of the file"
    is_base = table.method == "base"
    fix = 'the base has method = "base" and role = "base", and nothing else has'
    yield f"{key}.method", is_base == (table.role == "base"), f"and role do not agree: {fix}"
    needs = {"lora": ("rank", "alpha", "scaling"), "full": ("learning_rate",), "base": ()}
    examples = {
        "dataset": '"betley:insecure"',
        "seed": "0",
        "rank": "32",
        "alpha": "64",
        "scaling": '"alpha/rank"',
        "learning_rate": "1e-5",
    }
    required = needs[table.method] + (() if is_base else ("dataset", "seed"))
    for name in required:
        fix = f"add e.g. `{name} = {examples[name]}`"
        yield key, getattr(table, name) is not None, f"of {table.file} has no {name}; {fix}"
    lora_only = ("rank", "alpha", "scaling", "target_modules", "layers")
    stray = {"lora": (), "full": lora_only, "base": (*examples, "target_modules", "layers")}
    for name in stray[table.method]:
        given = getattr(table, name) in (None, ())
        yield f"{key}.{name}", given, f'means nothing with method = "{table.method}"; remove it'


def _list_known(values: Iterable[T | None]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(value for value in values if value is not None))
