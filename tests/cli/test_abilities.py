"""A check that cannot begin says why in a line; what one finds is in tests/services."""


def test_a_capability_check_that_cannot_begin_is_one_line_and_exit_code_2(
    rankshift, study, monkeypatch
):
    rankshift("run", study())
    monkeypatch.setenv("RANKSHIFT_LM_EVAL", "absent")
    for words, message in (
        (["--tasks", "arc_easy"], "RANKSHIFT_LM_EVAL is absent, which cannot be run"),
        (["--tasks", "arc_easy, ../x"], "--tasks: '../x' is no name of a task"),
        (["--tasks", " , "], "--tasks: names no task"),
        (["--tasks", "arc_easy", "--include", "nowhere"], "--include nowhere: no such folder"),
    ):
        code, out, err = rankshift("capability", "runs/s", *words)
        assert (code, out) == (2, "")
        assert err.startswith(f"rankshift: {message}")
        assert err.count("\n") == 1
