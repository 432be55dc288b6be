"""Every part of a study that is wrong is told, each with its fix, and nothing is written."""

from pathlib import Path

import pytest

from rankshift.executor.checkup import check_study, estimate_disk
from rankshift.executor.preview import preview_study
from rankshift.study_file import read_study
from tests.loopback_judge import serve_judge

LOCAL = "openai-api/loopback/tiny"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPBACK_API_KEY", "sk-loopback-secret")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def look(path: Path, root: Path, ask_judges: bool = False) -> dict[str, list[tuple[str, str]]]:
    """Look at a study: states and messages by the name of the check."""
    found: dict[str, list[tuple[str, str]]] = {}
    for check in check_study(read_study(path), root, ask_judges):
        assert bool(check.fix) == (check.state != "ok"), check
        assert "\n" not in f"{check.told}{check.fix}"
        found.setdefault(check.name, []).append((check.state, check.told))
    return found


def have_judged(path: Path, url: str) -> Path:
    """Have a study judged by a server."""
    text = path.read_text()
    assert 'judge = "' not in text
    text = text.replace("[evaluation]", f'[evaluation]\njudge = "{LOCAL}"')
    path.write_text(
        text + f'\n[judging]\nbase_url = "{url}"\ntimeout_seconds = 5.0\nattempts = 1\n'
    )
    return path


def test_a_study_that_could_run_is_in_order_and_nothing_is_written(write_study, tmp_path: Path):
    path = write_study()
    before = sorted(tmp_path.rglob("*"))
    found = look(path, tmp_path / "runs")
    assert sorted(tmp_path.rglob("*")) == before
    assert {state for rows in found.values() for state, _ in rows} <= {"ok", "warn"}
    assert {"base", "data", "questions", "judge", "plan", "memory", "disk", "run"} <= set(found)
    assert len(found["data"]) == 2


def test_everything_that_is_missing_is_told_at_once(write_study, tmp_path: Path):
    path = write_study()
    (tmp_path / "task.jsonl").unlink()
    (tmp_path / "questions.yaml").write_text("- id: [")
    found = look(path, tmp_path / "runs")
    assert [state for state, _ in found["data"]] == ["fail", "ok"]
    assert found["questions"] == [("fail", f"{tmp_path}/questions.yaml:1: not YAML")]
    assert found["plan"][0][0] == "warn"


def test_what_defences_name_is_looked_for_too(write_study, tmp_path: Path):
    tables = """[[grid.defences]]
kind = "kl"
strengths = [0.1, 1.0]
data = "gone.jsonl"

[[grid.defences]]
kind = "projection"
strengths = [1.0]
contrasts = "rankshift:contrasts"

[training]"""
    found = look(write_study(edit=("[training]", tables)), tmp_path / "runs")
    assert [state for state, _ in found["data"]] == ["ok", "ok", "fail"]
    assert [told.partition(",")[0] for state, told in found["questions"] if state == "ok"] == [
        f"{tmp_path}/questions.yaml",
        "rankshift:contrasts",
    ]


def test_an_arm_that_has_no_room_is_told_by_the_plan(write_study, tmp_path: Path):
    path = write_study(also=("[compute]", "[compute]\nmemory_gib = 0.1"))
    ((state, told),) = look(path, tmp_path / "runs")["plan"]
    assert state == "fail"
    assert "does not fit" in told


def test_a_directory_of_somebody_else_is_told(write_study, tmp_path: Path):
    path = write_study()
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    (tmp_path / "runs" / "tiny" / "stray").write_text("")
    assert look(path, tmp_path / "runs")["run"][0][0] == "fail"


@pytest.mark.parametrize(
    ("faults", "state", "says"),
    [
        ((), "ok", "gives log-probabilities"),
        (("forbidden",), "fail", "the judge refuses calls"),
        (("empty",), "fail", "no log-probabilities in the reply"),
        (("broken",), "fail", "broken today, Bearer [LOOPBACK_API_KEY]"),
    ],
)
def test_a_judge_on_this_machine_is_asked_once_and_what_it_lacks_is_told(
    write_study, tmp_path: Path, faults: tuple[str, ...], state: str, says: str
):
    with serve_judge(share=float(bool(faults)), faults=faults or ("broken",)) as server:
        (found,) = look(have_judged(write_study(), server.url), tmp_path / "runs")["judge"]
        assert server.calls == 1
    assert found[0] == state
    assert says in found[1]


def test_a_judge_elsewhere_is_not_asked_unless_that_is_wanted(write_study, tmp_path: Path):
    path = have_judged(write_study(), "http://judge.invalid/v1")
    (found,) = look(path, tmp_path / "runs")["judge"]
    assert found == ("warn", f"{LOCAL} at judge.invalid: not asked, it may cost")
    (found,) = look(path, tmp_path / "runs", ask_judges=True)["judge"]
    assert found[0] == "fail"


def test_disk_is_estimated_from_what_each_checkpoint_keeps(write_study, tmp_path: Path):
    study = read_study(write_study())
    preview = preview_study(study, tmp_path / "runs")
    more = read_study(write_study(ranks="[1, 4, 16]"))
    larger = preview_study(more, tmp_path / "runs")
    assert 0 < estimate_disk(study, preview) < estimate_disk(more, larger)
    weights = sum(g.gib.get("adapters", 0.0) for g in preview.groups) * 2**30
    assert estimate_disk(study, preview) > len(study.training.checkpoints) * weights


@pytest.mark.parametrize(
    ("url", "state", "said"),
    [
        ("memory://doctor", "ok", "memory://doctor/tiny holds 0 files of this run"),
        ("tape://robot", "fail", "compute.storage = tape://robot/tiny: Protocol not known: tape"),
    ],
)
def test_the_storage_of_a_study_is_looked_at(
    write_study, tmp_path: Path, url: str, state: str, said: str
):
    path = write_study(edit=("[compute]", f'[compute]\nstorage = "{url}"'))
    ((found, told),) = look(path, tmp_path / "runs")["storage"]
    assert found == state
    assert told.startswith(said)


def test_vllm_is_looked_for_where_answers_are_to_come_from_it(
    write_study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "vllm"
    monkeypatch.setenv("RANKSHIFT_VLLM", str(command))
    assert "vllm" not in look(write_study(), tmp_path / "runs")
    path = write_study(edit=("[evaluation]", '[evaluation]\nengine = "vllm"'))
    found = look(path, tmp_path / "runs")
    (told,) = found["vllm"]
    assert told[0] == "fail"
    assert f"RANKSHIFT_VLLM is {command}, which cannot be run" in told[1]
    assert found["plan"][0][0] == "warn"
    for name in ("vllm", "python"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\n")
        (tmp_path / "bin" / name).chmod(0o755)
    assert look(path, tmp_path / "runs")["vllm"][0][0] == "ok"
