"""Every benchmark still runs, at its smallest: no figure of it means anything."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = re.search(r"^BENCHMARKS := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
assert BENCHMARKS

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def run_quickly(tmp_path_factory) -> Callable[[str], tuple[list[str], dict]]:
    """Run a benchmark, once for all tests; give the lines it printed and the results it wrote."""

    @cache
    def run(name: str) -> tuple[list[str], dict]:
        folder = tmp_path_factory.mktemp(name)
        command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--results", str(folder)]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
        assert told.returncode == 0, told.stderr
        return told.stdout.splitlines(), json.loads((folder / f"{name}.json").read_text())

    return run


@pytest.mark.parametrize("name", BENCHMARKS[1].split())
def test_a_benchmark_ends_with_the_lines_that_its_results_hold(name, run_quickly):
    printed, results = run_quickly(name)
    assert results["last_lines"]
    assert printed[-len(results["last_lines"]) :] == results["last_lines"]


def test_two_ranks_learn_the_same_here_and_with_the_peer(run_quickly):
    differences = run_quickly("train_sweep")[1]["figures"]["fp32"]["largest_relative_differences"]
    assert differences.keys() == {"trl+peft", "trl+peft defaults"}
    assert max(differences.values()) < 1e-4
