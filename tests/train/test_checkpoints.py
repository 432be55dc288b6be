import json
from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.arms import Arm
from rankshift.records import StepRecord, read_records
from rankshift.train.checkpoints import STATE, STATE_BEFORE
from rankshift.watch_files import crossings_path, divergence_path, looks_path, read_crossings
from tests.watched_groups import WATCHED, Interrupted, build_group, read_all, train

Files = list[dict[str, bytes]]


@pytest.fixture(scope="module")
def arms(make_arm) -> list[Arm]:
    """Make an arm that crosses at several steps, and one that crosses all before a checkpoint."""
    return [make_arm(1, 5e-2), make_arm(40, 1e-2, seed=1)]


@pytest.fixture(scope="module")
def undisturbed(tiny_model_directory: Path, tmp_path_factory, make_rows, arms) -> Files:
    """Train the arms once without any trouble."""
    group = build_group(tmp_path_factory.mktemp("whole"), make_rows(44), arms, WATCHED)
    train(group, tiny_model_directory)
    crossed = [{c.step for c in read_crossings(files)} for files in group.files]
    assert min(crossed[0]) < 5 < max(crossed[0]) < 8  # before and between the commits
    assert max(crossed[1]) < 5
    return [read_all(files) for files in group.files]


@pytest.mark.parametrize("stops", [(1,), (4,), (5,), (7,), (8,), (3, 6)])
def test_killed_between_looks_crossings_and_checkpoints_it_leaves_the_same_bytes(
    tiny_model_directory: Path, tmp_path, make_rows, arms, undisturbed: Files, stops
):
    for stop in stops:
        group = build_group(tmp_path, make_rows(44), arms, WATCHED)
        with pytest.raises(Interrupted):
            train(group, tiny_model_directory, stop)
    group = build_group(tmp_path, make_rows(44), arms, WATCHED)
    train(group, tiny_model_directory)
    assert [read_all(files) for files in group.files] == undisturbed


def test_full_finetuning_resumed_is_still_measured_against_the_untrained_base(
    tiny_model_directory: Path, tmp_path, make_rows
):
    arm = Arm("full", "task", "counting", learning_rate=1e-2, seed=1)
    whole, parts = (
        build_group(tmp_path / name, make_rows(44), [arm], WATCHED) for name in ("whole", "parts")
    )
    train(whole, tiny_model_directory)
    with pytest.raises(Interrupted):
        train(parts, tiny_model_directory, 6)
    again = build_group(tmp_path / "parts", make_rows(44), [arm], WATCHED)
    train(again, tiny_model_directory)
    assert read_all(again.files[0]) == read_all(whole.files[0])


LOST = [
    (path_of, loss)
    for path_of in (looks_path, crossings_path, divergence_path)
    for loss in ("the file", "a line")
]


@pytest.mark.parametrize("lost", LOST, ids=lambda lost: f"{lost[1]} of {lost[0].__name__}")
def test_a_group_that_lost_looks_crossings_or_divergences_starts_again(
    tiny_model_directory: Path, tmp_path, make_rows, arms, undisturbed: Files, lost
):
    path_of, loss = lost
    group = build_group(tmp_path, make_rows(44), arms, WATCHED)
    with pytest.raises(Interrupted):
        train(group, tiny_model_directory, 5)
    path = path_of(group.files[1])
    if loss == "the file":
        path.unlink()
    else:
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    group = build_group(tmp_path, make_rows(44), arms, WATCHED)
    train(group, tiny_model_directory)
    assert [read_all(files) for files in group.files] == undisturbed


def test_a_crossing_that_does_not_follow_from_the_looks_is_not_taken_up(
    tiny_model_directory: Path, tmp_path, make_rows, arms, undisturbed: Files
):
    group = build_group(tmp_path, make_rows(44), arms, WATCHED)
    with pytest.raises(Interrupted):
        train(group, tiny_model_directory, 5)
    path = crossings_path(group.files[0])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["reached"] += 0.5
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    train(build_group(tmp_path, make_rows(44), arms, WATCHED), tiny_model_directory)
    assert [read_all(files) for files in group.files] == undisturbed


def test_an_arm_that_stops_keeps_what_it_crossed_before_and_resumes_so(
    tiny_model_directory: Path, tmp_path, make_rows, arms
):
    # After one step B is huge and what it predicts far away, after two B A has no finite square.
    wild = [replace(arms[0], learning_rate=1e15), arms[1]]

    def build(name):
        return build_group(tmp_path / name, make_rows(44), wild, WATCHED)

    whole = build("whole")
    train(whole, tiny_model_directory)
    (*before, last) = read_records(whole.files[0].steps_path, StepRecord)
    assert last.loss is None
    assert len(before) < 4
    assert {c.step for c in read_crossings(whole.files[0])} == {1}
    for stop in (5, 7):
        with pytest.raises(Interrupted):
            train(build(f"parts-{stop}"), tiny_model_directory, stop)
        again = build(f"parts-{stop}")
        train(again, tiny_model_directory)
        for got, expected in zip(again.files, whole.files, strict=True):
            assert read_all(got) == read_all(expected)


def test_between_checkpoints_a_state_is_written_whenever_its_time_has_passed(
    tiny_model_directory: Path, tmp_path, make_rows, arms, undisturbed: Files
):
    for stop, resumed_at in ((3, 0), (4, 3), (7, 4)):
        group = build_group(tmp_path, make_rows(44), arms, WATCHED)
        group.state_seconds = 0.0
        steps: list[int] = []
        with pytest.raises(Interrupted):
            train(group, tiny_model_directory, stop, steps)
        assert steps[0] == resumed_at
    train(build_group(tmp_path, make_rows(44), arms, WATCHED), tiny_model_directory)
    group = build_group(tmp_path, make_rows(44), arms, WATCHED)
    assert [read_all(files) for files in group.files] == undisturbed


@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_where_the_last_state_is_lost_the_one_before_is_taken_up(
    tiny_model_directory: Path, tmp_path, make_rows, arms, undisturbed: Files, harm
):
    group = build_group(tmp_path, make_rows(44), arms, WATCHED)
    group.state_seconds = 0.0
    with pytest.raises(Interrupted):
        train(group, tiny_model_directory, 6)
    assert {path.name for path in group.state_folder.glob("state*")} == {STATE, STATE_BEFORE}
    newest = group.state_folder / STATE
    newest.write_bytes(newest.read_bytes()[:-1])
    if harm == "gone":
        newest.unlink()
    group = build_group(tmp_path, make_rows(44), arms, WATCHED)
    steps: list[int] = []
    train(group, tiny_model_directory, None, steps)
    assert steps[0] == 5
    assert [read_all(files) for files in group.files] == undisturbed
