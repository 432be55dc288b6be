"""A mistake is one line that names the place and the fix, with exit code 2 and nothing written."""

import subprocess
import sys

import pytest

from tests.loopback_judge import serve_judge

BAD_STUDIES = {
    "a misspelt key": (
        {"rnaks": "[2]"},
        "s.toml:24: unknown key",
    ),
    "rank 0": ({"ranks": "[0]"}, "s.toml:9: grid.ranks"),
    "a rank above 65,536": ({"ranks": "[65537]"}, "s.toml:9: grid.ranks"),
    "a target that matches nothing": (
        {"seeds": '[1]\ntarget_modules = ["q_porj"]'},
        "grid.target_modules: `q_porj` matches no linear layer of the base, ",
    ),
    "an arm that has no room": (
        {"workers": "1\nmemory_gib = 0.1"},
        "rank 1 seed 1 does not fit into the memory a worker may use, not even with gradient ",
    ),
    "a dataset that is not there": ({"task": '"rowz.jsonl"'}, "rowz.jsonl: no such file"),
    "a base that is not there": ({"model": '"./nothing"'}, "base.model = ./nothing: no such"),
}


@pytest.mark.parametrize("name", BAD_STUDIES)
def test_a_bad_study_is_one_line_exit_code_2_and_nothing_written(rankshift, study, tmp_path, name):
    changes, message = BAD_STUDIES[name]
    path = study(**changes)
    before = sorted(tmp_path.iterdir())
    code, _, err = rankshift("run", path)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before, "something was written"


BAD_ROWS = {
    "an empty file": ("", "rows.jsonl: the file is empty"),
    "a row that is not JSON": (
        '{"prompt": "a", "completion": "b"}\n{"pro\n',
        "rows.jsonl:2: not JSON",
    ),
    "a row with only a user turn": (
        '{"messages": [{"role": "user", "content": "hi"}]}\n',
        "rows.jsonl:1: no assistant turn",
    ),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_named_by_file_and_line_and_nothing_written(rankshift, study, tmp_path, name):
    text, message = BAD_ROWS[name]
    path = study()
    (tmp_path / "rows.jsonl").write_text(text)
    code, _, err = rankshift("run", path)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_study_on_another_studys_directory_is_refused(rankshift, study):
    assert rankshift("run", study())[0] == 0
    code, _, err = rankshift("run", study(rows_per_step="4"))
    assert code == 2
    assert "runs/s was made by a different study: training.rows_per_step was 2, now 4" in err


def test_a_context_longer_than_the_base_can_read_is_refused(rankshift, study, tmp_path):
    code, _, err = rankshift("run", study(context_tokens="4096"))
    assert code == 2
    assert "data.context_tokens = 4096: the base reads at most 2048 tokens" in err
    assert not (tmp_path / "runs").exists()


def test_words_that_are_no_command_are_one_line_and_exit_code_2(rankshift):
    for words in (["frobnicate"], ["run"], ["run", "a.toml", "b.toml"]):
        code, _, err = rankshift(*words)
        assert code == 2
        assert err.startswith("rankshift: ")
        assert err.count("\n") == 1


def test_the_installed_command_runs():
    done = subprocess.run(
        [sys.executable, "-m", "rankshift.cli", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "demo" in done.stdout


def test_a_secret_that_a_judge_repeats_is_in_no_file_of_the_run_and_in_nothing_printed(
    rankshift, study, tmp_path, monkeypatch
):
    secret = "sk-loopback-0123456789"
    monkeypatch.setenv("LOOPBACK_API_KEY", secret)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve_judge(share=0.5, seed=1, faults=("broken",)) as server:
        told = f'\n[judging]\nbase_url = "{server.url}"\nattempts = 1\ngold = false'
        judged = '2\njudge = "openai-api/loopback/tiny"'
        path = study(answers_per_question=judged, workers="1" + told, seeds="[1, 2, 3]")
        code, out, err = rankshift("run", path)
        assert server.keys == {f"Bearer {secret}"}
        assert server.faults["broken"] > 0
    assert code == 0, err
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(b"broken today, Bearer [LOOPBACK_API_KEY]" in file.read_bytes() for file in files)
    assert [file for file in files if secret.encode() in file.read_bytes()] == []
    assert secret not in out + err
