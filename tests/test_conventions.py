"""The house rules of CONTRIBUTING.md, as far as a machine can check them."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rankshift.study_file import read_studies

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/rankshift"
MODULES = sorted(PACKAGE.rglob("*.py"))
assert MODULES

MAX_LINES = 300
VAGUE_NAMES = {"utils", "helpers", "common", "misc", "base", "core", "manager"}

UNTESTED = {
    "__init__.py",  # a docstring
    "__main__.py",  # one call
}
"""Modules without a test file of their own, because there is nothing in them to get wrong."""

IMPORTED_BY_OTHERS = {"openai"}
"""What Inspect imports when a judge speaks OpenAI's protocol."""

TEXT_FILES = {".cff", ".css", ".j2", ".json", ".md", ".py", ".toml", ".txt", ".yaml", ".yml", ""}
PLACES = (
    "src",
    "tests",
    "benchmarks",
    "calibration",
    "findings",
    "torture",
    "docs",
    "studies",
    "examples",
    ".ci",
    ".github",
)

# The brackets keep these patterns from matching their own text.
MACHINE_PATH = re.compile(r"(?<![\w.:/\\-])/(?:[h]ome|[U]sers|[r]oot|[w]ork|[o]pt)/\w")
INDEX_HOST = re.compile(r"[p]ypi\.org|[p]ythonhosted\.org|[p]ytorch\.org/whl|-[i]ndex-url")


def test_no_module_is_too_long_to_read_in_one_sitting():
    assert [_name(path) for path in MODULES if len(_lines(path)) > MAX_LINES] == []


def test_no_module_has_a_name_that_could_hold_anything():
    names = [(path, part) for path in MODULES for part in path.relative_to(PACKAGE).parts]
    assert [_name(path) for path, part in names if part.removesuffix(".py") in VAGUE_NAMES] == []


def test_every_module_says_in_one_sentence_why_it_exists():
    openings = {path: (ast.get_docstring(_tree(path)) or "").split("\n\n")[0] for path in MODULES}
    assert [_name(path) for path, opening in openings.items() if not opening.endswith(".")] == []


def test_a_package_file_holds_at_most_a_docstring_but_for_the_one_name_notebooks_import():
    packages = [path for path in MODULES if path.name == "__init__.py"]
    packages.remove(PACKAGE / "__init__.py")
    assert [_name(path) for path in packages if len(_tree(path).body) > 1] == []


def test_every_folder_of_modules_is_a_package():
    folders = {path.parent for path in MODULES}
    assert [_name(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_every_module_has_a_test_file_of_its_name():
    modules = [path.relative_to(PACKAGE) for path in MODULES if path.name not in UNTESTED]
    expected = [ROOT / "tests" / module.parent / f"test_{module.name}" for module in modules]
    assert [_name(path) for path in expected if not path.exists()] == []


def test_no_text_names_a_place_on_one_machine_or_a_package_index():
    found = [
        f"{_name(path)}:{number}: {line.strip()}"
        for path in _texts()
        for number, line in enumerate(_lines(path), start=1)
        if MACHINE_PATH.search(line) or INDEX_HOST.search(line) or f"{ROOT}/" in line
    ]
    assert found == []


def test_the_patterns_of_places_match_what_they_are_meant_to_match():
    somewhere, index = "/".join(["", "home", "ada", "runs"]), "https://" + "pypi" + ".org/simple"
    assert MACHINE_PATH.search(f'path = "{somewhere}"')
    assert INDEX_HOST.search(index)
    assert not MACHINE_PATH.search("https://example.org" + somewhere)
    assert not MACHINE_PATH.search("docs/work/in-progress.md")


def test_the_dependencies_are_what_the_source_imports():
    distributions = packages_distributions()
    imported = {name for path in MODULES for name in _imports(_tree(path))}
    outside = imported - set(sys.stdlib_module_names) - {"rankshift"}
    used = {canonicalize_name(distributions[name][0]) for name in outside}
    extras = _project()["optional-dependencies"]
    lines = _project()["dependencies"] + extras["parquet"] + extras["quantized"]
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    assert sorted(used - declared) == []
    assert sorted(declared - used - IMPORTED_BY_OTHERS) == []


def test_every_requirement_has_one_exact_tested_version_within_its_range():
    pins = dict(line.split("==") for line in _lines(ROOT / "constraints.txt") if line[0] != "#")
    versions = {canonicalize_name(name): version for name, version in pins.items()}
    extras = _project()["optional-dependencies"].values()
    for line in [*_project()["dependencies"], *(line for extra in extras for line in extra)]:
        requirement = Requirement(line)
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier, line
    assert [pin for pin in pins.values() if not re.fullmatch(r"[\d.]+(post\d+)?", pin)] == []


def test_every_study_that_is_shown_or_shipped_can_be_read():
    paths = [*ROOT.glob("studies/*.toml"), *PACKAGE.glob("studies/*.toml")]
    studies = [study for path in paths for study in read_studies(path, whole=True)]
    assert {"demo", "what-rank-does.grid"} <= {study.name for study in studies}


def test_what_a_study_writes_is_never_committed():
    assert "/runs/" in _lines(ROOT / ".gitignore")


def test_the_readme_shows_the_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    commands = {line.split("#")[0].strip() for line in readme}
    assert {"make demo", "make test"} <= commands


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _texts() -> Iterator[Path]:
    inside = (path for place in PLACES for path in (ROOT / place).rglob("*"))
    for path in [*ROOT.iterdir(), *inside]:
        if path.is_file() and path.suffix in TEXT_FILES:
            yield path


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def _project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
