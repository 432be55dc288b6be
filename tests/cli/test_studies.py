"""What a user sees of a study: what is printed, as text or JSON, and what to do next."""

import json


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


def test_a_plan_shows_the_groups_and_what_to_run_and_writes_nothing(rankshift, study, tmp_path):
    file = study()
    before = sorted(tmp_path.rglob("*"))
    code, out, err = rankshift("plan", file)
    assert (code, err) == (0, "")
    assert "rank 1 seed 1" in out
    assert out.splitlines()[-1].startswith("next     rankshift run ")
    assert "warning" not in out  # there is one rank
    code, out, _ = rankshift("plan", file, "--json")
    assert json.loads(out)["arms"] == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_a_plan_warns_where_rank_and_step_size_move_together(rankshift, study):
    file = study()
    text = file.read_text()
    assert "ranks = [1]" in text
    assert 'scalings = ["alpha/rank"]' in text
    text = text.replace("ranks = [1]", "ranks = [1, 4]")
    file.write_text(text.replace('"alpha/rank"', '"alpha/sqrt(rank)"'))
    code, out, _ = rankshift("plan", file)
    assert code == 0
    (warning,) = [line for line in out.splitlines() if line.startswith("warning")]
    assert "`us` in place of `learning_rates` in [grid] holds it" in warning
    assert any(line.startswith("u        alpha ") for line in out.splitlines())
