"""Promises of SECURITY.md that hold for the whole source, or for files and names of strangers."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rankshift.model.loading import load_model, load_skeleton, load_tokenizer
from rankshift.runs import StudyRun

SOURCE = Path(__file__).parents[1] / "src/rankshift"
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCE.rglob("*.py")}
LOADERS = {"from_pretrained", "from_config"}

RUNS_OR_UNPICKLES = {
    ("", "eval"),
    ("", "exec"),
    ("", "compile"),
    ("", "__import__"),
    ("os", "system"),
    ("os", "popen"),
    ("pickle", "load"),
    ("pickle", "loads"),
    ("torch", "load"),
    ("yaml", "load"),
    ("yaml", "unsafe_load"),
    ("yaml", "full_load"),
    ("numpy", "load"),
    ("np", "load"),
    ("joblib", "load"),
}


def list_calls(tree: ast.Module) -> Iterator[tuple[str, str, ast.Call]]:
    """Give module or object, function and call of each call of a plain name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield "", node.func.id, node
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            yield owner.id if isinstance(owner, ast.Name) else "?", node.func.attr, node


def find_unsafe(tree: ast.Module) -> list[int]:
    """Give the lines that run what they read, or let a model's own code be run."""
    found = []
    for owner, name, call in list_calls(tree):
        keywords = {word.arg: word.value for word in call.keywords}
        trusts = keywords.get("trust_remote_code")
        shell = keywords.get("shell")
        if (owner, name) in RUNS_OR_UNPICKLES:
            found.append(call.lineno)
        if name in LOADERS and owner.startswith("Auto") and trusts is None:
            found.append(call.lineno)
        for value in (trusts, shell):
            if value is not None and not (isinstance(value, ast.Constant) and value.value is False):
                found.append(call.lineno)
    return found


def test_no_line_of_the_source_runs_what_it_reads_or_trusts_a_models_code():
    found = {path.name: lines for path, tree in TREES.items() if (lines := find_unsafe(tree))}
    # What Ray brings a worker is a job that our own process packed; no file is unpickled.
    assert len(found.pop("errand.py")) == 1
    assert found == {}
    loaded = [c for tree in TREES.values() for o, n, c in list_calls(tree) if n in LOADERS]
    assert len(loaded) >= 4, "the loaders are called in another way, which is not seen"


@pytest.mark.parametrize(
    "line",
    [
        "AutoModelForCausalLM.from_pretrained(d)",
        "AutoConfig.from_pretrained(d, trust_remote_code=True)",
        "AutoConfig.from_pretrained(d, trust_remote_code=trusted)",
        "torch.load(p)",
        "yaml.load(t, Loader=L)",
        "exec(answer)",
        "subprocess.run(c, shell=True)",
    ],
)
def test_what_would_be_unsafe_is_seen(line: str):
    assert find_unsafe(ast.parse(line)) == [1]


def test_the_code_beside_a_model_of_a_known_kind_is_not_run(
    tiny_model_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model_directory, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    names = ("AutoConfig", "AutoModelForCausalLM", "AutoTokenizer")
    config["auto_map"] = dict.fromkeys(names, "code.Theirs")
    path.write_text(json.dumps(config))
    (tmp_path / "model" / "code.py").write_text("open('run', 'w').write('x')\n")
    load_skeleton(tmp_path / "model")
    load_model(tmp_path / "model")
    load_tokenizer(tmp_path / "model")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "name", ["..", ".", "../../x", "/x", "a/../b", "text:../x", "a\0b", "..%2F"]
)
def test_no_name_of_a_judge_leaves_its_folder(tmp_path: Path, name: str):
    run = StudyRun(tmp_path / "run")
    calls, arm = run.calls_path(name), run.arm("a").verdicts_path("e", name, 1)
    paths = {
        calls: run.directory / "judging",
        run.judge_path(name): run.directory / "judging",
        run.labelled_path(name): run.directory / "labels" / "people",
        run.gold_directory(name): run.gold_root,
        arm.parent: arm.parents[1],
    }
    for path, folder in paths.items():
        assert Path(os.path.normpath(path)).parent == folder, path
        assert "\0" not in str(path)


SILENCED = (
    "DO_NOT_TRACK",
    "HF_HUB_DISABLE_TELEMETRY",
    "GRADIO_ANALYTICS_ENABLED",
    "RAY_USAGE_STATS_ENABLED",
    "VLLM_NO_USAGE_STATS",
)


def test_the_telemetry_of_libraries_is_off_unless_the_environment_says_otherwise():
    told = f"print([os.environ[name] for name in {SILENCED}])"
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE.parent)}

    def ask(**more: str) -> list[str]:
        command = [sys.executable, "-c", f"import os, rankshift.cli.main; {told}"]
        env = bare | more
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return ast.literal_eval(done.stdout)

    assert ask() == ["1", "1", "False", "0", "1"]
    assert ask(RAY_USAGE_STATS_ENABLED="1") == ["1", "1", "False", "1", "1"]
