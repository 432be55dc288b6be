import json
import stat
from itertools import pairwise
from pathlib import Path

import pytest

from rankshift.errors import UserError, WorkError
from rankshift.executor.harness import Request, build_command, find_harness, run_harness

MODEL = {"pretrained": "base", "dtype": "float32"}


def write_program(path: Path, script: str) -> str:
    """Write a program that stands where the harness is expected, to see how its failure is met."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def fail(tmp_path: Path, script: str) -> tuple[str, Path]:
    """Run a program that does not do what the harness does; give the message and the log."""
    out, log = tmp_path / "out", tmp_path / "arm" / "colours.log"
    out.mkdir()
    words = [write_program(tmp_path / "lm_eval", script)]
    with pytest.raises(WorkError) as caught:
        run_harness(words, out, log)
    return str(caught.value), log


def test_every_model_is_asked_by_the_same_words_but_for_its_weights(tmp_path: Path):
    request = Request(("colours",), tmp_path, limit=10)
    arm = MODEL | {"peft": "/runs/a"}
    base, other = (
        build_command("/bin/lm_eval", model, request, "colours", tmp_path / "out")
        for model in (MODEL, arm)
    )
    at = base.index("--model_args") + 1
    assert base[:at] + base[at + 1 :] == other[:at] + other[at + 1 :]
    assert json.loads(other[at]) == arm
    pairs = dict(pairwise(base))
    assert pairs["--tasks"] == "colours"
    assert pairs["--limit"] == "10"
    assert pairs["--include_path"] == str(tmp_path)
    assert pairs["--seed"] == "0,1234,1234,1234"
    assert "--apply_chat_template" in base
    assert "--trust_remote_code" not in base
    assert "--confirm_run_unsafe_code" not in base


def test_a_path_with_commas_equal_signs_and_quotes_stays_one_value(tmp_path: Path):
    hostile = '/runs/a,peft=/etc,trust_remote_code=True "; rm -rf $HOME'
    words = build_command("lm_eval", MODEL | {"peft": hostile}, Request(("a",)), "a", tmp_path)
    (model,) = [word for word in words if "rm -rf" in word]
    assert json.loads(model)["peft"] == hostile
    assert "trust_remote_code" not in json.loads(model)


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "-x", "--model", "*", "a b", "", "a\nb", "~", "a,b", ".hidden"]
)
def test_a_name_that_no_task_has_is_refused(name: str):
    with pytest.raises(UserError, match=r"--tasks: .* is no name of a task"):
        Request((name,)).check()


@pytest.mark.parametrize("name", ["mmlu", "arc_easy", "agieval-lsat", "global_mmlu_full_de", "a.1"])
def test_a_name_of_a_task_passes(name: str):
    Request((name,)).check()


@pytest.mark.parametrize(
    ("request_", "option"),
    [
        (Request(()), "--tasks"),
        (Request(("a",), limit=0), "--limit"),
        (Request(("a",), batch_size=0), "--batch-size"),
        (Request(("a",), Path("absent")), "--include"),
    ],
)
def test_what_is_wrong_is_named_by_its_option(request_: Request, option: str):
    with pytest.raises(UserError, match=f"^{option}"):
        request_.check()


def test_where_there_is_no_harness_the_message_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("RANKSHIFT_LM_EVAL", raising=False)
    with pytest.raises(UserError, match=r"not on the path.*environment of its own.*pip install"):
        find_harness()
    monkeypatch.setenv("RANKSHIFT_LM_EVAL", str(tmp_path / "absent"))
    with pytest.raises(UserError, match=r"RANKSHIFT_LM_EVAL is .*absent, which cannot be run"):
        find_harness()
    found = write_program(tmp_path / "lm_eval", "exit 0")
    monkeypatch.delenv("RANKSHIFT_LM_EVAL")
    assert find_harness() == found


def test_a_program_that_fails_is_told_by_its_last_line_and_all_of_it_is_kept(tmp_path: Path):
    message, log = fail(tmp_path, "echo first; echo 'ValueError: no such task' >&2; exit 3")
    assert message == f"lm_eval ended with 3: ValueError: no such task (all it said: {log})"
    assert log.read_text() == "first\nValueError: no such task\n"


def test_last_words_are_one_short_line_that_cannot_move_a_cursor(tmp_path: Path):
    loud = r"printf 'done\r\033[2J\033]0;owned\007%01000d\n\n' 7; exit 1"
    message, _ = fail(tmp_path, loud)
    assert message.isprintable()
    assert len(message.split(" (all it said")[0]) < 350


def test_a_program_without_a_word_fails_all_the_same(tmp_path: Path):
    assert "ended with 1: it said nothing" in fail(tmp_path, "exit 1")[0]


def test_success_without_a_file_of_results_is_a_failure(tmp_path: Path):
    # The harness itself does that where it cannot write: it warns, and ends with 0.
    message, _ = fail(tmp_path, "echo 'Could not save results aggregated'")
    assert "wrote no file of results: Could not save" in message


def test_it_runs_in_a_folder_of_its_own_and_a_success_removes_the_old_log(tmp_path: Path):
    out, log = tmp_path / "out", tmp_path / "colours.log"
    out.mkdir()
    log.write_text("earlier")
    program = write_program(tmp_path / "lm_eval", "pwd; echo '{}' > results_now.json")
    assert run_harness([program], out, log) == out / "results_now.json"
    assert not log.exists()
