"""What a user sees of two runs side by side."""

import json

from tests.synthetic_run import make_study, write_run


def test_two_runs_are_set_side_by_side_with_what_may_not_be_compared_first(rankshift, tmp_path):
    write_run(tmp_path / "one")
    write_run(tmp_path / "two", make_study(ranks=(4, 16), judge="another"))
    code, out, err = rankshift("compare", "one/tiny", "two/tiny")
    assert (code, err) == (0, "")
    assert out.startswith("The runs have, or may have, another judge: ")
    assert "9 arms are in both, 4 in A alone, 4 in B alone" in out
    assert max(map(len, out.splitlines())) <= 80
    code, out, _ = rankshift("compare", "one/tiny", "two/tiny", "--json")
    assert json.loads(out)["unlike"] == ["judge"]


def test_a_directory_that_is_no_run_is_one_line_and_exit_code_2(rankshift, tmp_path):
    write_run(tmp_path)
    code, out, err = rankshift("compare", "tiny", "nowhere")
    assert (code, out) == (2, "")
    assert err.startswith("rankshift: nowhere is not a study's directory")
    assert err.count("\n") == 1
