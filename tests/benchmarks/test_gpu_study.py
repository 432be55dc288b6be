"""The studies for a GPU run where there is none, and two that compute in one place are the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.bench
def test_both_studies_run_and_on_one_device_agree_to_the_last_bit(tmp_path: Path):
    command = [sys.executable, "-m", "benchmarks.gpu_study", "--quick", "--device", "cpu"]
    told = subprocess.run(
        [*command, "--results", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert told.returncode == 0, told.stderr
    content = json.loads((tmp_path / "gpu_study.json").read_text())
    assert told.stdout.splitlines()[-1] == content["last_lines"][0]
    organism = content["figures"]["organism"]
    assert organism["largest_relative_difference_of_losses"] == 0
    assert organism["equal_answers"] == organism["answers"] > 0
    groups = content["figures"]["real_shape"]["groups"]
    assert {group["method"] for group in groups} == {"lora", "full"}
    assert all(group["planned_bytes"] > 0 for group in groups)
