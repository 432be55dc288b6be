"""What a user sees of an export, and that one that cannot be made writes nothing."""

import json


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


def test_an_export_to_inspect_says_how_to_look_at_it(rankshift, study, tmp_path):
    rankshift("run", study())
    code, out, err = rankshift("export", "inspect", "runs/s")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "next     inspect view --log-dir runs/s/export/inspect"
    assert len(list((tmp_path / "runs/s/export/inspect").glob("*.eval"))) == 2
    code, out, _ = rankshift("export", "inspect", "runs/s", "--out", "logs", "--json")
    assert len(json.loads(out)["logs"]) == len(list((tmp_path / "logs").iterdir())) == 2


def test_an_export_of_tables_says_how_many_rows_and_where(rankshift, study):
    rankshift("run", study())
    code, out, err = rankshift("export", "tables", "runs/s")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "arms      2 rows"
    assert "written   to runs/s/export/tables" in out
    code, out, _ = rankshift("export", "tables", "runs/s", "--json")
    assert json.loads(out)["rows"]["steps"] == 1
