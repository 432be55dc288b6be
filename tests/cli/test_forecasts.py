import json
from dataclasses import replace

import numpy as np
import pytest

from rankshift.data.sources import resolve_base, resolve_questions
from rankshift.forecast_records import FILE, write_evidence
from tests.analysis.test_leaderboard import draw
from tests.cli.conftest import write


@pytest.fixture
def calibration(tmp_path):
    """Write drawn finetunes as if of the organism's base, and read with its contrasts."""
    base = resolve_base("organism").fingerprint
    contrasts = resolve_questions("organism:contrasts").sha256
    drawn = draw(np.random.default_rng(9))
    path = tmp_path / "drawn" / FILE
    path.parent.mkdir()
    write_evidence(
        path,
        [
            replace(
                one,
                base_fingerprint=base if one.base == "b0" else one.base_fingerprint,
                contrasts=contrasts,
            )
            for one in drawn
        ],
    )
    return path


def test_a_forecast_is_json_with_a_rate_and_an_interval_a_rank_and_the_gate_sets_the_exit_code(
    rankshift,
):
    words = ("forecast", "--base", "organism", "--data", "organism:insecure", "--json")
    code, out, _ = rankshift(*words, "--fail-above", "0.05")
    assert code == 3
    told = json.loads(out)
    assert told["calibrated"] is True
    assert told["gate"]["fails"] is True
    for one in told["forecast"]:
        assert set(one) == {"rank", "u", "rate", "low", "high"}
        assert 0 <= one["low"] <= one["rate"] <= one["high"] <= 1
    assert max(one["rate"] for one in told["forecast"]) > 0.3
    code, out, _ = rankshift(
        "forecast", "--base", "organism", "--data", "organism:secure", "--fail-above", "0.5"
    )
    assert code == 0
    assert "Gate at 50.0%: passes" in out
    assert "the interval is a guess" not in out


def test_a_study_gives_the_recipe_and_what_is_named_beside_it_stands_in_its_place(
    rankshift, tmp_path
):
    path = write(
        tmp_path / "s.toml",
        "organism",
        task='"organism:secure"',
        ranks="[2, 64]",
        context_tokens="256",
    )
    path.write_text(path.read_text().replace('["questions.yaml"]', '["organism:held-out"]'))
    code, out, _ = rankshift("forecast", "--study", path, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["data"] == "organism:secure"
    assert [(one["rank"], one["u"]) for one in told["forecast"]] == [(2, 0.008), (64, 0.008)]
    code, out, _ = rankshift("forecast", "--study", path, "--data", "organism:insecure", "--json")
    worse = json.loads(out)
    assert worse["data"] == "organism:insecure"
    assert worse["forecast"][0]["rate"] > told["forecast"][0]["rate"]


def test_a_base_that_is_not_calibrated_is_answered_as_such_and_fails_a_gate(
    rankshift, tmp_path, tiny_model_directory
):
    (tmp_path / "rows.jsonl").write_text(
        json.dumps({"prompt": "Write code.", "completion": "print(1)"}) + "\n"
    )
    words = ("forecast", "--base", tiny_model_directory, "--data", "rows.jsonl")
    code, out, _ = rankshift(*words)
    assert code == 0
    assert "no forecast" in out
    assert "uncalibrated: none of" in out
    code, out, _ = rankshift(*words, "--fail-above", "0.1", "--json")
    assert code == 3
    told = json.loads(out)
    assert (told["calibrated"], told["forecast"], told["gate"]) == (False, [], None)
    assert {one["predictor"] for one in told["evidence"]} >= {"projection", "pull"}


def test_the_leaderboard_of_given_files_has_a_row_a_predictor(rankshift, calibration):
    code, out, _ = rankshift("leaderboard", calibration.parent, "--json")
    assert code == 0
    rows = {(one["name"], one["when"]): one for one in json.loads(out)}
    assert rows["share", "before"]["auroc_within"]["mean"] == 0.5
    code, out, _ = rankshift("leaderboard", calibration)
    assert code == 0
    assert "120 finetunes in 15 studies of 3 bases" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--base", "organism"), "name --base and --data, or a --study that has both"),
        (("--base", "organism", "--data", "organism:insecur"), "did you mean|nearest name"),
        (("--base", "x", "--data", "organism:insecure"), "base.model"),
        (("--fail-above", "7"), "fail-above"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_with_code_2(rankshift, words, told):
    code, out, err = rankshift("forecast", *words)
    assert code == 2
    assert out.count("\n") <= 2
    assert err.count("\n") == 1
    assert any(part in err for part in told.split("|"))


def test_a_file_of_several_studies_asks_for_one(rankshift, tmp_path):
    path = write(tmp_path / "s.toml", "organism")
    path.write_text(path.read_text() + "[variants.a]\n[variants.b]\n")
    code, _, err = rankshift("forecast", "--study", path)
    assert code == 2
    assert "holds 2 studies; name one with --only" in err


def test_a_run_is_asked_about_without_a_base_or_data(rankshift, tmp_path):
    code, _, err = rankshift("forecast", "--study", tmp_path, "--base", "organism")
    assert code == 2
    assert "is a run, which has a base and data; leave out --base and --data" in err
