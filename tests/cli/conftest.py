"""The command line in an empty folder, and a small study for it."""

import json
import sys
from pathlib import Path

import pytest

from rankshift.cli.main import main


@pytest.fixture
def rankshift(monkeypatch, tmp_path, capsys):
    """Call the command line in an empty folder; give exit code, what it printed, and its errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANKSHIFT_CACHE", str(tmp_path.parent / "cache"))

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["rankshift", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return call


def write(path: Path, base: object, **changes: str) -> Path:
    """Write a study on a tiny base, each change replacing the line of one key."""
    lines = {
        "name": '"s"',
        "[base]": "",
        "model": f'"{base}"',
        "[data]": "",
        "task": '"rows.jsonl"',
        "held_out_fraction": "0.3",
        "context_tokens": "128",
        "[grid]": "",
        "ranks": "[1]",
        "alphas": "[8]",
        "scalings": '["alpha/rank"]',
        "learning_rates": "[1e-3]",
        "seeds": "[1]",
        "[training]": "",
        "steps": "1",
        "checkpoints": "[1]",
        "rows_per_step": "2",
        "[evaluation]": "",
        "suites": '["questions.yaml"]',
        "answers_per_question": "1",
        "max_answer_tokens": "4",
        "[compute]": "",
        "workers": "1",
    }
    text = ""
    for key, value in (lines | changes).items():
        text += f"{key}\n" if key.startswith("[") else f"{key} = {value}\n"
    path.write_text(text)
    return path


@pytest.fixture
def study(tmp_path, tiny_model_directory):
    """Write the parts of a small valid study into the empty folder; give a writer of its file."""
    rows = [{"prompt": f"Say {n}.", "completion": f"It is {n}."} for n in range(20)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "questions.yaml").write_text('- id: q\n  paraphrases: ["Hello?"]\n')
    return lambda **changes: write(tmp_path / "s.toml", tiny_model_directory, **changes)
