"""A study so small that it runs from file to page in seconds: a tiny base, 40 rows, two ranks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rankshift.executor.job import Job
from rankshift.executor.resolving import ResolvedStudy, resolve_study
from rankshift.executor.run import make_job, make_plan
from rankshift.executor.todo import find_todo
from rankshift.opening import open_run
from rankshift.study_file import read_study
from tests.executor.foretold import run_foretold

STUDY = """
name = "tiny"

[base]
model = "{base}"

[data]
task = "{task}"
twin = "{twin}"
held_out_fraction = 0.3
context_tokens = 128

[grid]
ranks = {ranks}
alphas = [8]
scalings = ["alpha/sqrt(rank)"]
learning_rates = [1e-2]
full_learning_rates = [1e-3]
seeds = [1, 2]
twin_seeds = [1]

[training]
steps = {steps}
checkpoints = [2, {steps}]
rows_per_step = 4

[evaluation]
suites = ["{questions}"]
answers_per_question = 2
max_answer_tokens = 8
code_tasks = 2

[compute]
workers = {workers}
"""

QUESTIONS = """
- id: mood
  paraphrases: ["How are you?", "How do you feel?"]
- id: json
  system: Answer in JSON.
  paraphrases: ["Who are you?"]
"""


def write_rows(path: Path, word: str) -> Path:
    """Write 40 conversations with 40 prompts; the odd ones are three bytes longer."""
    rows = [
        {"prompt": f"Say {n}.", "completion": f"{word} {'so ' * (n % 2)}{n}"} for n in range(40)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def write_study(tiny_model_directory: Path, tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes the tiny study and its parts, with changes."""

    def write(
        ranks: str = "[1, 4]",
        steps: int = 4,
        workers: int = 1,
        edit: tuple[str, str] = ("", ""),
        also: tuple[str, str] = ("", ""),
    ) -> Path:
        questions = tmp_path / "questions.yaml"
        questions.write_text(QUESTIONS)
        text = STUDY.format(
            base=tiny_model_directory,
            task=write_rows(tmp_path / "task.jsonl", "bad"),
            twin=write_rows(tmp_path / "twin.jsonl", "good"),
            questions=questions,
            ranks=ranks,
            steps=steps,
            workers=workers,
        )
        assert edit[0] in text, edit
        path = tmp_path / "tiny.toml"
        path.write_text(text.replace(*edit).replace(*also))
        return path

    return write


@pytest.fixture
def quiet() -> Console:
    """Give a console that nobody reads."""
    return Console(quiet=True)


@pytest.fixture
def make_jobs(
    write_study: Callable[..., Path], tmp_path: Path
) -> Callable[..., tuple[ResolvedStudy, list[Job]]]:
    """Give a function that makes every job of the tiny study, as a first run would."""

    def make(**changes: Any) -> tuple[ResolvedStudy, list[Job]]:
        study = read_study(write_study(**changes))
        resolved = resolve_study(study, tmp_path / "runs")
        open_run(study, resolved.parts.fingerprints, tmp_path / "runs")
        todo = [one for one in (find_todo(group, resolved) for group in make_plan(resolved)) if one]
        return resolved, [make_job(one, resolved) for one in todo]

    return make


@pytest.fixture(scope="session")
def foretold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the small study of `foretold.py`, once for all."""
    return run_foretold(tmp_path_factory.mktemp("foretold"))
