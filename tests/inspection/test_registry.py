"""Inspect finds all there is under the package's name, and pays nothing for what it leaves."""

import subprocess
import sys
import tomllib
from pathlib import Path

from inspect_ai._util.registry import registry_lookup
from inspect_ai.model import get_model

from rankshift.inspection import registry

ROOT = Path(__file__).parents[2]


def test_the_entry_point_that_is_declared_is_the_registry():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["inspect_ai"] == {"rankshift": registry.__name__}


def test_tasks_scorer_solvers_metric_and_provider_have_the_names_that_are_documented():
    tasks = ("suite", "betley", "organism", "replay")
    for kind, names in {
        "task": tasks,
        "scorer": ("judge",),
        "solver": ("answer", "replay"),
        "metric": ("rates",),
        "modelapi": ("rankshift",),
    }.items():
        for name in names:
            assert registry_lookup(kind, f"rankshift/{name}"), (kind, name)  # type: ignore[arg-type]


def test_an_arm_is_a_model_by_its_name_and_is_not_looked_for_until_it_is_asked():
    model = get_model("rankshift/nowhere:rank-1-seed-1@4", memoize=False)
    assert str(model) == "rankshift/nowhere:rank-1-seed-1@4"


def test_the_registry_loads_neither_torch_nor_transformers():
    code = (
        "import rankshift.inspection.registry, sys; "
        "print([m for m in ('torch', 'transformers', 'peft') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
