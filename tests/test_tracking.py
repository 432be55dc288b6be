"""What is told to a tracker, and that nothing is told where there is none."""

import os
import sys

import pytest

from rankshift.frames.loading import load_frames
from rankshift.records import StepRecord, write_records
from rankshift.tracking import MISSING, list_logs, track_run
from tests.synthetic_run import write_run


@pytest.fixture
def run(tmp_path):
    run = write_run(tmp_path)
    frames = load_frames(run.directory)
    arm = next(row["arm"] for row in frames.results["arms"] if row["label"] == "rank 4 seed 2")
    steps = [StepRecord(1, 3.0, 9, 0.5, 1e-3), StepRecord(2, None, 9, None, 1e-3)]
    write_records(run.arm(arm).steps_path, steps)
    return run


def test_each_arm_is_told_with_its_losses_by_step_and_rates_by_checkpoint(run):
    logs = {log.config["label"]: log for log in list_logs(load_frames(run.directory))}
    assert len(logs) == 1 + 6 + 3 + 3
    log = logs["rank 4 seed 2"]
    assert log.name == f"tiny: rank 4 seed 2 ({log.config['arm']})"
    assert (log.config["rank"], log.config["dataset"]) == (4, "insecure.jsonl")
    assert log.at[1] == {"loss": 3.0, "grad_norm": 0.5, "learning_rate": 1e-3}
    # A loss that was not finite is left out; rank 4 has one misaligned of 20 after step 2.
    assert log.at[2] == {
        "learning_rate": 1e-3,
        "held_out_loss": pytest.approx(1.8),
        "misaligned_given_coherent": pytest.approx(1 / 15),
        "misaligned_of_all": pytest.approx(1 / 20),
    }


def test_without_trackio_a_line_says_so_and_nothing_fails(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "trackio", None)
    assert track_run(run.directory, "p") == MISSING


@pytest.mark.services
def test_trackio_keeps_each_arm_once_on_this_machine_and_prints_nothing(
    run, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "tracked"))
    monkeypatch.setenv("TRACKIO_SPACE_ID", "somebody/else")
    trackio = pytest.importorskip("trackio")
    assert track_run(run.directory, "p").startswith("tracked  13 arms")
    assert track_run(run.directory, "p").startswith("tracked  0 arms")
    assert capsys.readouterr().out == ""
    assert os.environ["TRACKIO_SPACE_ID"] == "somebody/else"
    names = [kept.name for kept in trackio.Api().runs("p")]
    assert len(names) == len(set(names)) == 13
