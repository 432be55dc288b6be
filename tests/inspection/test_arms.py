"""What a person types names one arm at one checkpoint, or is told what there is."""

from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.errors import UserError
from rankshift.inspection.arms import find_arm, slug, slug_arms
from rankshift.records import write_records
from rankshift.runs import StudyRun
from rankshift.watch_files import crossings_path
from rankshift.watch_records import CrossingRecord
from tests.synthetic_run import make_study, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    return write_run(tmp_path_factory.mktemp("runs"))


def test_an_arm_is_found_by_its_label_and_is_meant_at_its_last_checkpoint(run):
    found = find_arm(f"{run.directory}:rank-4-seed-2")
    assert (found.arm.rank, found.arm.seed, found.arm.role, found.step) == (4, 2, "task", 4)
    assert find_arm(f"{run.directory}:rank-4-seed-1-twin").arm.role == "twin"
    assert find_arm(f"{run.directory}:full-seed-1@2").step == 2
    assert find_arm(f"{run.directory}:base").step == 0
    assert found.model == f"rankshift/{run.directory}:rank-4-seed-2@4"


def test_an_arm_is_found_by_the_beginning_of_its_id(run):
    arm = find_arm(f"{run.directory}:rank-1-seed-3").id
    assert find_arm(f"{run.directory}:{arm[:8]}").id == arm
    with pytest.raises(UserError, match="has no arm"):
        find_arm(f"{run.directory}:{arm[:3]}")


def test_the_name_of_a_found_arm_finds_it_again(run):
    found = find_arm(f"{run.directory}:rank-1-seed-3@2")
    assert find_arm(found.model.removeprefix("rankshift/")) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rank-4-seed-2", "names no arm; give a run's directory, a colon"),
        ("{}", "names no arm"),
        ("{}:", "names no arm"),
        ("{}:base@last", "names no arm"),
        ("{}:rank-4-seed-9", "has no arm rank-4-seed-9; did you mean rank-4-seed-"),
        ("{}:rank-4-seed-2@3", "has no checkpoint 3; there are 2, 4"),
        ("nowhere:base", "nowhere/study.json"),
    ],
)
def test_what_names_no_arm_is_refused_with_what_there_is(run, text, message):
    with pytest.raises(UserError, match=message):
        find_arm(text.format(run.directory))


def test_arms_that_share_a_label_are_told_apart_by_their_settings(tmp_path: Path):
    study = make_study()
    grid = replace(study.grid, learning_rates=(1e-3, 1e-4), scalings=("alpha/rank",))
    run = write_run(tmp_path, replace(study, grid=grid))
    found = find_arm(f"{run.directory}:rank-4-seed-1-alpha-64-alpha-rank-lr-0.0001")
    assert found.arm.learning_rate == 1e-4
    arms = {found.id: found.arm, "b": replace(found.arm, learning_rate=1e-3)}
    assert len(set(slug_arms(arms).values())) == 2


def test_a_name_is_typed_in_small_letters_digits_dots_and_hyphens():
    assert slug("rank 4 (layers 0-1), lr 1e-05 ") == "rank-4-layers-0-1-lr-1e-05"


def test_an_arm_is_found_where_it_crossed_something(tmp_path: Path):
    run = write_run(tmp_path)
    arm = find_arm(f"{run.directory}:rank-4-seed-2")
    crossing = CrossingRecord("skill", 0.5, 3, 0.6, 0.5, 1.0, 0.1)
    write_records(crossings_path(arm.files), [crossing])
    assert find_arm(f"{run.directory}:rank-4-seed-2@3").step == 3
    assert find_arm(f"{run.directory}:rank-4-seed-2").step == 4
    with pytest.raises(UserError, match="has no checkpoint 3; there are 2, 4"):
        find_arm(f"{run.directory}:rank-4-seed-3@3")
