"""A study with every stage that runs in half a minute, and the command that goes on with it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rankshift.runs import StudyRun
from tests.loopback_judge import LoopbackJudge, serve_judge

NAME = "tortured"

STUDY = """
name = "{name}"

[base]
model = "organism"

[data]
task = "organism:insecure"
twin = "organism:secure"
unrelated = "organism:general"
unrelated_rows = 8
held_out_fraction = 0.2
train_rows = 64
held_out_rows = 8
context_tokens = 256

[grid]
ranks = [1, 4]
alphas = [16]
scalings = ["alpha/sqrt(rank)"]
learning_rates = {rates}
full_learning_rates = [5e-5]
seeds = [1]
twin_seeds = [1]

[derived]
truncations = [1]

[training]
steps = 12
checkpoints = [4, 8, 12]
kl_crossings = [0.001]
watch_every = 2
rows_per_step = 4
schedule = "constant"

[evaluation]
suites = ["organism:held-out"]
judge = "openai-api/loopback/tiny"
answers_per_question = 1
max_answer_tokens = 16
temperature = 0.7
code_tasks = 2

[judging]
base_url = "{judge}"
others = ["organism:oracle"]

[compute]
workers = 2
threads = 1
arms_per_group = 4
memory_gib = 4.0
"""
"""Every stage, judged by a model on loopback and by the oracle; two workers, so that what is
killed is a group of processes; the memory is fixed, so that two runs have one plan."""

RATES = (1e-3,)


@dataclass(frozen=True)
class Bench:
    """Where studies are run, and the judge that all of them ask."""

    folder: Path
    judge: LoopbackJudge

    def write_study(self, rates: tuple[float, ...] = RATES, name: str = NAME) -> Path:
        """Write the study's file; gives its path."""
        path = self.folder / f"{name}.toml"
        path.write_text(STUDY.format(name=name, judge=self.judge.url, rates=list(rates)))
        return path

    def begin(self, study: Path, root: Path) -> subprocess.Popen[str]:
        """Begin or go on with a study as a group of processes of its own."""
        words = [sys.executable, "-m", "rankshift.cli", "run", str(study), "--runs", str(root)]
        return subprocess.Popen(
            words,
            cwd=self.folder,
            env=self._make_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, study: Path, root: Path) -> StudyRun:
        """Go on with a study to its end; gives its run."""
        process = self.begin(study, root)
        said, _ = process.communicate()
        assert process.returncode == 0, said
        return StudyRun(root / study.stem)

    def _make_environment(self) -> Mapping[str, str]:
        own = {
            "RANKSHIFT_CACHE": str(self.folder / "cache"),  # forms of products are measured once
            "INSPECT_CACHE_DIR": str(self.folder / "inspect"),
            "LOOPBACK_API_KEY": "of nobody",
            "HF_HUB_OFFLINE": "1",
            "PYTHONUNBUFFERED": "1",
        }
        return os.environ | own


@contextmanager
def open_bench(folder: Path) -> Iterator[Bench]:
    """Serve the judge for as long as the context lasts."""
    with serve_judge() as judge:
        yield Bench(folder, judge)
