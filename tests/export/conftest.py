"""A finished run of a tiny study: two ranks, one too high for vLLM, and a full finetune."""

import json
from pathlib import Path

import pytest

from rankshift.executor.rejudging import SILENT
from rankshift.executor.run import run_study
from rankshift.runs import StudyRun
from rankshift.study_file import read_study

STUDY = """
name = "tiny"
about = "Whether what is exported can be loaded."
[base]
model = "{base}"
[data]
task = "{task}"
held_out_fraction = 0.3
context_tokens = 128
[grid]
ranks = [1, 600]
alphas = [8]
scalings = ["alpha/sqrt(rank)"]
learning_rates = [1e-2]
full_learning_rates = [1e-3]
seeds = [1]
[training]
steps = 4
checkpoints = [2, 4]
rows_per_step = 4
[evaluation]
suites = ["{questions}"]
answers_per_question = 1
max_answer_tokens = 4
[compute]
workers = 1
"""


@pytest.fixture(scope="session")
def trained_run(tiny_model_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    """Train three arms for four steps, weights kept after two and after four."""
    folder = tmp_path_factory.mktemp("study")
    task, questions = folder / "rows.jsonl", folder / "questions.yaml"
    rows = [{"prompt": f"Say {n}.", "completion": f"It is {n}."} for n in range(20)]
    task.write_text("".join(json.dumps(row) + "\n" for row in rows))
    questions.write_text('- id: q\n  paraphrases: ["Hello?"]\n')
    study = folder / "tiny.toml"
    study.write_text(STUDY.format(base=tiny_model_directory, task=task, questions=questions))
    return run_study(read_study(study), folder / "runs", SILENT)
