"""What examples/ shows can be read by the programs it is for, and names commands that exist."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from rankshift.cli.main import app

ROOT = Path(__file__).parents[1]
SLURM, SKY = ROOT / "examples/slurm/rankshift.sbatch", ROOT / "examples/sky/rankshift.yaml"


def list_scripts() -> dict[str, str]:
    sky = yaml.safe_load(SKY.read_text(encoding="utf-8"))
    return {
        "slurm": SLURM.read_text(encoding="utf-8"),
        "sky setup": sky["setup"],
        "sky run": sky["run"],
    }


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize("name", ["slurm", "sky setup", "sky run"])
def test_the_scripts_are_bash(name: str):
    text = list_scripts()[name]
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    broken = subprocess.run(["bash", "-n"], input=text + "\nif", capture_output=True, text=True)
    assert broken.returncode != 0


def test_both_run_a_study_on_ray_with_options_that_there_are():
    run = next(
        command
        for command in app.registered_commands
        if command.name is None
        and command.callback is not None
        and command.callback.__name__ == "run"
    )
    assert run is not None
    for name in ("slurm", "sky run"):
        text = list_scripts()[name]
        assert "rankshift run" in text
        assert "--executor ray --runs" in text
        assert "RAY_ADDRESS=" in text
