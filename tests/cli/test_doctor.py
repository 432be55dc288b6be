"""What the doctor says, as text or JSON, and that its exit code tells whether a study could run."""

import json


def test_a_study_that_could_run_ends_with_0_and_every_line_has_a_state(rankshift, study, tmp_path):
    path = study()
    before = sorted(tmp_path.iterdir())
    code, out, err = rankshift("doctor", path)
    assert (code, err) == (0, "")
    lines = [line for line in out.splitlines() if line.strip()]
    assert {line.split()[0] for line in lines} <= {"ok", "warn", "s"}
    assert any("rows.jsonl, SHA-256 " in line for line in lines)
    assert sorted(tmp_path.iterdir()) == before


def test_a_study_that_could_not_run_ends_with_2_and_says_each_fix(rankshift, study):
    path = study(task='"rowz.jsonl"', suites='["nowhere.yaml"]')
    code, out, _ = rankshift("doctor", path, "--json")
    assert code == 2
    told = json.loads(out)
    assert told["ok"] is False
    failed = {check["name"]: check for check in told["checks"] if check["state"] == "fail"}
    assert set(failed) == {"data", "questions"}
    assert failed["data"]["told"] == "rowz.jsonl: no such file"
    assert all(check["fix"] and check["study"] == "s" for check in failed.values())


def test_without_a_study_the_machine_alone_is_looked_at(rankshift):
    code, out, _ = rankshift("doctor", "--json")
    assert code == 0
    assert {check["study"] for check in json.loads(out)["checks"]} == {None}


def test_a_study_that_cannot_be_read_is_one_line_and_2(rankshift, study):
    code, _, err = rankshift("doctor", study(ranks="[0]"))
    assert code == 2
    assert err.count("\n") == 1
