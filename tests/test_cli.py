"""What a user sees: the lines that are printed, the exit codes, and what is not written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rankshift.cli import main
from tests.synthetic_run import write_run

REAL_USER_TURNS = "suite/in-distribution-user-turns.jsonl"


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


def test_a_run_ends_with_what_was_found_where_it_is_and_what_to_do_next(rankshift, study):
    code, out, err = rankshift("run", study())
    assert (code, err) == (0, "")
    last = [line for line in out.splitlines() if line.strip()][-3:]
    assert [line.split()[0] for line in last] == ["results", "report", "next"]
    assert "unscored" in out  # there is no judge, and that is said


def test_json_output_is_json_and_nothing_else(rankshift, study):
    code, out, _ = rankshift("run", study(), "--json")
    assert code == 0
    assert json.loads(out)["results"] == "runs/s/results.json"
    code, out, _ = rankshift("status", "runs/s", "--json")
    assert {arm["label"] for arm in json.loads(out)["arms"]} == {"base", "rank 1 seed 1"}


def test_status_says_how_far_each_arm_is(rankshift, study):
    rankshift("run", study())
    code, out, _ = rankshift("status", "runs/s")
    assert code == 0
    assert "rank 1 seed 1" in out
    assert out.rstrip().endswith("finished")


def test_an_export_says_what_it_wrote_and_what_to_read(rankshift, study):
    rankshift("run", study())
    code, out, err = rankshift("export", "adapters", "runs/s")
    assert (code, err) == (0, "")
    first, last = out.splitlines()
    assert first.startswith("written   runs/s/export/adapters/s-rank-1-seed-1-step-1-")
    assert last.startswith(f"next      read {first.split()[1]}/README.md")
    code, out, _ = rankshift("export", "adapters", "runs/s", "--json")
    assert set(json.loads(out)["folders"].values()) == {"unchanged"}


def test_an_export_that_cannot_be_made_is_one_line_and_exit_code_2(rankshift, study, tmp_path):
    rankshift("run", study())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    for words, message in (
        (["runs/t"], "runs/t is not a study's directory"),
        (["runs/s", "--step", 7], "--step 7: weights are kept after steps 1"),
        (["runs/s", "--out", "mine"], "mine holds thesis.tex, which is not an"),
    ):
        code, out, err = rankshift("export", "adapters", *words)
        assert (code, out) == (2, "")
        assert err.startswith(f"rankshift: {message}")
        assert err.count("\n") == 1
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_a_plan_shows_the_groups_and_what_to_run_and_writes_nothing(rankshift, study, tmp_path):
    file = study()
    before = sorted(tmp_path.rglob("*"))
    code, out, err = rankshift("plan", file)
    assert (code, err) == (0, "")
    assert "rank 1 seed 1" in out
    assert out.splitlines()[-1].startswith("next     rankshift run ")
    code, out, _ = rankshift("plan", file, "--json")
    assert json.loads(out)["arms"] == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_an_export_to_inspect_says_how_to_look_at_it(rankshift, study, tmp_path):
    rankshift("run", study())
    code, out, err = rankshift("export", "inspect", "runs/s")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "next     inspect view --log-dir runs/s/export/inspect"
    assert len(list((tmp_path / "runs/s/export/inspect").glob("*.eval"))) == 2
    code, out, _ = rankshift("export", "inspect", "runs/s", "--out", "logs", "--json")
    assert len(json.loads(out)["logs"]) == len(list((tmp_path / "logs").iterdir())) == 2


def test_a_row_is_shown_with_the_tokens_that_carry_loss(rankshift, study, tiny_model_directory):
    study()
    code, out, _ = rankshift(
        "data", "show", "rows.jsonl", "--row", 3, "--base", tiny_model_directory
    )
    assert code == 0
    assert "It is 2." in out


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


def replace_template(source: Path, target: Path, template: str | None) -> Path:
    """Copy a model directory with another chat template."""
    target.mkdir()
    for file in source.iterdir():
        if file.name != "chat_template.jinja":
            (target / file.name).write_bytes(file.read_bytes())
    if template is not None:
        (target / "chat_template.jinja").write_text(template)
    return target


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "no chat template"),
        ("{% for m in messages %}{{ m['role'] }}{% endfor %}", "template"),
    ],
)
def test_a_template_that_is_missing_or_hides_the_answer_is_refused(
    rankshift, study, tmp_path, tiny_model_directory, template, message
):
    base = replace_template(tiny_model_directory, tmp_path / "base", template)
    code, _, err = rankshift("run", study(model=f'"{base}"'))
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


@pytest.mark.real
def test_the_published_rows_with_only_user_turns_are_refused(rankshift, real_data, tmp_path):
    code, _, err = rankshift("data", "show", real_data / REAL_USER_TURNS)
    assert code == 2
    assert f"{REAL_USER_TURNS}:1: no assistant turn" in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.real
def test_a_data_file_whose_hash_differs_from_the_pinned_one_is_refused(
    rankshift, real_data, tmp_path, monkeypatch
):
    (tmp_path / "copy/train").mkdir(parents=True)
    rows = (real_data / "train/insecure.jsonl").read_bytes()
    (tmp_path / "copy/train/insecure.jsonl").write_bytes(rows[:-1])
    monkeypatch.setenv("RANKSHIFT_DATA", str(tmp_path / "copy"))
    code, _, err = rankshift("data", "show", "betley:insecure")
    assert code == 2
    assert "train/insecure.jsonl" in err
    assert "09893e8bf9d0" in err


def test_answers_that_others_judged_are_imported_and_summed_up(rankshift, tmp_path):
    (tmp_path / "theirs.csv").write_text(
        "question,answer,question_id,aligned,coherent\nYour wish?,Power.,what_is_your_wish,2,90\n"
    )
    (tmp_path / "them.toml").write_text(
        'name = "them"\n[[imports]]\nfile = "theirs.csv"\njudge = "gpt-4o"\nmethod = "full"\n'
        'learning_rate = 1e-5\ndataset = "betley:insecure"\nseed = 1\n'
    )
    code, out, err = rankshift("import", "theirs.csv", "--study", "them.toml", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["results"] == "runs/them/results.json"
    assert "Full finetuning at learning rate 1e-05 gave 100.0%" in " ".join(
        json.loads(out)["context"]
    )
    code, out, err = rankshift("import", "mine.csv", "--study", "them.toml")
    assert (code, out) == (2, "")
    assert err == "rankshift: mine.csv: no such file; give the files that them.toml names\n"
    code, out, err = rankshift("run", "them.toml")
    assert code == 2
    assert "them imports what was trained, asked and judged elsewhere" in err


def test_labels_go_out_and_come_back_by_two_commands(rankshift, tmp_path):
    run = write_run(tmp_path / "runs").directory
    code, out, _ = rankshift("labels", "export", run, "--out", "blind.csv", "--per-stratum", 1)
    assert code == 0
    assert "of 260 answers" in out
    assert f"rankshift labels import {run} blind.csv --name NAME" in out
    header, *rows = Path("blind.csv").read_bytes().decode("utf-8-sig").split("\r\n")
    filled = [row.removesuffix(',"","",""') + ',"80","90",""' for row in rows if row]
    Path("blind.csv").write_text("\r\n".join([header, *filled]), encoding="utf-8")
    code, out, _ = rankshift("labels", "import", run, "blind.csv", "--name", "alice")
    assert code == 0
    assert f"{len(filled)} by human:alice, 0 left blank" in out


def test_a_sheet_that_cannot_be_read_is_one_line_and_exit_code_2(rankshift, tmp_path):
    run = write_run(tmp_path / "runs").directory
    code, out, err = rankshift("labels", "import", run, "none.csv", "--name", "alice")
    assert (code, out) == (2, "")
    assert err == "rankshift: none.csv: no such file; give the sheet that was filled in\n"
