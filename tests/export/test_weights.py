import shutil
from pathlib import Path

import pytest

from rankshift.errors import UserError
from rankshift.export.weights import CONFIGS, find_weights
from rankshift.records import write_records
from rankshift.runs import StudyRun
from rankshift.watch_files import crossings_path
from rankshift.watch_records import CrossingRecord


@pytest.fixture
def copied_run(trained_run: StudyRun, tmp_path: Path) -> StudyRun:
    """Copy the run, to be broken."""
    return StudyRun(Path(shutil.copytree(trained_run.directory, tmp_path / "run")))


def test_every_arm_but_the_base_gives_the_weights_of_its_last_checkpoint(trained_run: StudyRun):
    found, without = find_weights(trained_run)
    labels = [weights.arm.label for weights in found]
    assert labels == ["rank 1 seed 1", "rank 600 seed 1", "full seed 1"]
    assert {weights.step for weights in found} == {4}
    assert without == []
    assert all(weights.facts["versions"]["torch"] for weights in found)


def test_a_step_that_is_asked_for_is_the_one_that_is_given(trained_run: StudyRun):
    found, _ = find_weights(trained_run, step=2)
    assert {(weights.step, weights.folder.name) for weights in found} == {(2, "step-000002")}


def test_an_unfinished_arm_gives_its_last_whole_checkpoint_and_is_named_without_one(
    copied_run: StudyRun,
):
    (first, second, third), _ = find_weights(copied_run)
    (first.folder / CONFIGS["lora"]).unlink()  # written last: killed before it
    shutil.rmtree(second.folder.parent)
    copied_run.arm(third.arm_id).provenance_path.unlink()
    found, without = find_weights(copied_run)
    assert [(w.arm.label, w.step) for w in found] == [("rank 1 seed 1", 2), ("full seed 1", 4)]
    assert without == ["rank 600 seed 1"]
    assert found[1].facts == {}
    found, without = find_weights(copied_run, step=4)
    assert without == ["rank 1 seed 1", "rank 600 seed 1"]


def test_a_step_without_a_checkpoint_is_refused_with_those_there_are(trained_run: StudyRun):
    with pytest.raises(UserError, match="--step 3: weights are kept after steps 2, 4; give one"):
        find_weights(trained_run, step=3)


def test_a_run_without_any_weights_is_refused(copied_run: StudyRun):
    for folder in copied_run.directory.glob("arms/*/checkpoints"):
        shutil.rmtree(folder)
    with pytest.raises(UserError, match="no arm has weights yet; run the study first"):
        find_weights(copied_run)
    with pytest.raises(UserError, match="no arm has weights after step 2 yet"):
        find_weights(copied_run, step=2)


def test_a_config_that_was_cut_is_refused_by_name(copied_run: StudyRun):
    found, _ = find_weights(copied_run)
    path = found[0].folder / CONFIGS["lora"]
    path.write_text(path.read_text()[:20])
    with pytest.raises(UserError, match=r"adapter_config\.json: not a JSON object"):
        found[0].read_config()


def test_a_step_at_which_an_arm_crossed_something_gives_the_arms_that_did(copied_run: StudyRun):
    (first, *_), _ = find_weights(copied_run)
    files = copied_run.arm(first.arm_id)
    crossing = CrossingRecord("skill", 0.5, 3, 0.6, 0.5, 1.0, 0.1)
    write_records(crossings_path(files), [crossing])
    shutil.copytree(files.checkpoint(2), files.checkpoint(3))
    found, without = find_weights(copied_run, step=3)
    assert [(weights.arm_id, weights.step) for weights in found] == [(first.arm_id, 3)]
    assert without == ["rank 600 seed 1", "full seed 1"]
