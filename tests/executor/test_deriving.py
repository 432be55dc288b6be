"""Derived arms, from the study file to the page."""

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import torch
from peft import PeftModel

from rankshift.derivation import list_kept_steps, read_updates
from rankshift.executor.run import Watch, run_study
from rankshift.model.loading import load_model
from rankshift.records import AnswerRecord, HeldOutRecord, StepRecord, read_records, write_records
from rankshift.runs import ArmFiles, StudyRun, identify_arms
from rankshift.status import describe_progress
from rankshift.study_file import read_study
from tests.given_models import WARNING

pytestmark = pytest.mark.filterwarnings(WARNING)

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/results.schema.json").read_text())
DERIVED = "[derived]\ntruncations = [1, 4]\nnorms = [0.5]\n"
SMALL = ("seeds = [1, 2]\ntwin_seeds = [1]", "seeds = [1]\ntwin_seeds = [1]")


def run(path: Path, root: Path) -> StudyRun:
    return run_study(read_study(path), root, Watch(lambda *_: None, lambda *_: None, lambda _: 0))


def list_files(directory: Path) -> dict[Path, bytes]:
    """Map every file but the notes on times to its bytes."""
    return {
        path.relative_to(directory): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != "provenance.json"
    }


@pytest.fixture
def derived_study(write_study: Callable[..., Path]) -> Path:
    """Write a study of ranks 1 and 8 and full finetuning, with cuts and norms."""
    return write_study("[1, 8]", edit=SMALL, also=("[evaluation]", f"{DERIVED}[evaluation]"))


def find_files(done: StudyRun) -> dict[str, ArmFiles]:
    study, fingerprints = done.read_study()
    return {arm.label: done.arm(key) for key, arm in identify_arms(study, fingerprints).items()}


def test_x(derived_study, tmp_path):
    done = run(derived_study, tmp_path / "runs")
    results = json.loads(done.results_path.read_text())
    for label, files in find_files(done).items():
        print(label, list_kept_steps(files))
        for u in read_updates(files).values():
            print("   ", u)
    print(describe_progress(done.directory).total)
