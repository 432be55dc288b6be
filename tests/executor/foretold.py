"""A small run of the organism with early checkpoints, for the tests of what foretells."""

from pathlib import Path

from rankshift.executor.run import Watch, run_study
from rankshift.study_file import read_study

QUIET = Watch(lambda *_: None, lambda *_: None, lambda _: None)

STUDY = """
name = "foretold"
[base]
model = "organism"
[data]
task = "organism:mixed-50"
twin = "organism:secure"
train_rows = 128
held_out_rows = 8
context_tokens = 256
[grid]
ranks = [1, 16]
alphas = [64]
scalings = ["alpha/rank"]
learning_rates = [1e-3]
full_learning_rates = [5e-4]
seeds = [1]
twin_seeds = [1]
[training]
steps = 20
checkpoints = [1, 2, 20]
rows_per_step = 8
[evaluation]
suites = ["organism:held-out"]
judge = "organism:oracle"
answers_per_question = 1
max_answer_tokens = 48
[compute]
device = "cpu"
workers = 1
"""


def run_foretold(folder: Path) -> Path:
    """Run it; give the run's directory."""
    (folder / "s.toml").write_text(STUDY)
    return run_study(read_study(folder / "s.toml"), folder, QUIET).directory
