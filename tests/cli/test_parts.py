"""Data is shown as a finetune sees it, or refused with its place."""

from pathlib import Path

import pytest

REAL_USER_TURNS = "suite/in-distribution-user-turns.jsonl"


def test_a_row_is_shown_with_the_tokens_that_carry_loss(rankshift, study, tiny_model_directory):
    study()
    code, out, _ = rankshift(
        "data", "show", "rows.jsonl", "--row", 3, "--base", tiny_model_directory
    )
    assert code == 0
    assert "It is 2." in out


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


def test_a_curve_is_planted_and_the_next_command_is_told(rankshift, tmp_path):
    code, out, _ = rankshift(
        "organism", "plant", "plant", "--shape", "step-up", "--at", 16, "--seeds", 1, "--answers", 2
    )
    assert code == 0
    assert "rankshift run plant/study.toml" in out
    assert len(list((tmp_path / "plant/adapters").iterdir())) == 9


@pytest.mark.parametrize(
    ("options", "fix"), [(("--shape", "hill"), "'peak'"), (("--shape", "peak"), "--at 16")]
)
def test_what_cannot_be_planted_is_refused_in_one_line(rankshift, tmp_path, options, fix):
    code, _, err = rankshift("organism", "plant", "plant", *options)
    assert code == 2
    assert fix in err
    assert not (tmp_path / "plant").exists()
