import json
import os
import re
import subprocess
import sys
from pathlib import Path

from rankshift.executor.vllm.child import VARIABLE

ROOT = Path(__file__).parents[2]


def test_the_benchmark_of_sampling_runs_and_both_sides_say_the_same(tmp_path: Path):
    command = [sys.executable, "-m", "benchmarks.sample_sweep", "--quick", "--rounds=2"]
    done = subprocess.run(
        [*command, "--results", str(tmp_path)],
        env={k: v for k, v in os.environ.items() if k != VARIABLE} | {"PYTHONPATH": "src"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    number = r"\d+\.\d"
    assert re.fullmatch(
        rf"sample_sweep fp32 ratio {number} \(min {number}, max {number}\) over peft, "
        rf"greedy answers equal in 6 of 6( \[NOT QUIET: others used up to {number} cores\])?",
        last,
    )
    result = json.loads((tmp_path / "sample_sweep.json").read_text(encoding="utf-8"))
    for figure in ("seconds", "core_seconds", "others_cores"):
        by_way = result["figures"][figure]
        assert [len(each) for each in by_way.values()] == [2] * 4
        assert [name.split()[0] for name in by_way] == ["processes", "threads", "peft", "peft"]
    for way, computed in result["figures"]["core_seconds"].items():
        passed = result["figures"]["seconds"][way]
        assert all(0 < core < 2.1 * wall for core, wall in zip(computed, passed, strict=True))
    assert result["provenance"]["versions"]["peft"]
    assert result["figures"]["vllm"] is None  # asked only where its environment is named
