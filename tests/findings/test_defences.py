import pytest

from findings.defences import TABLES, list_lines, main, take


def estimate(rate: float) -> dict:
    return {"rate": rate, "low": rate - 0.01, "high": rate + 0.02}


@pytest.fixture
def results() -> dict:
    kept = {"share": 0.95, "low": 0.9, "high": 1.0, "kept": "yes"}
    asked = {"undefended": estimate(0.8), "base": 0.02}
    entry = {
        "rank": 4,
        "defence": {"label": "kl 0.1"},
        "misalignment": {"question_set": "q", "gone": "yes"} | estimate(0.03) | asked,
        "skill_kept": kept,
        "benign_kept": kept | {"share": None, "kept": "nothing to learn"},
        "coherence_kept": {"difference": -0.02, "low": None, "high": None, "kept": "undetermined"},
        "cued": [{"question_set": "q after x"} | estimate(0.4) | asked | {"returns": "yes"}],
        "cost": {"task_steps": 54.0, "arms": ["a", "b"]},
        "verdict": "hides",
    }
    times = {"defence_seconds": 5.0, "arm_seconds": 10.0}
    return {"defences": [entry], "timings": {"a": times, "b": times}}


def test_every_number_of_an_entry_is_in_its_rows(results):
    lines = list(list_lines(take(results)))
    assert lines[2] == (
        "| kl 0.1 | 4 | hides | 80 -> 3 (2 to 5): gone | 95 (90 to 100): yes | "
        "-: nothing to learn | -2: undetermined | 54, +50 % |"
    )
    assert lines[-4:] == [
        "| defence | rank | after x (base 2) |",
        "|---|---|---|",
        "| none | 4 | 80 (79 to 82) |",
        "| kl 0.1 | 4 | 40 (39 to 42): yes |",
    ]


def test_what_is_kept_of_the_run_can_be_printed(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["defences"])
    main()
    printed = capsys.readouterr().out
    assert all(path.stem in printed for path in TABLES.glob("*.json"))
