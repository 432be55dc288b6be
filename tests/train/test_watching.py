from dataclasses import replace
from pathlib import Path

import pytest

from rankshift.arms import Arm
from rankshift.errors import UserError
from rankshift.records import HeldOutRecord, read_records
from rankshift.runs import ArmFiles
from rankshift.study import Training
from rankshift.train.roster import Group
from rankshift.train.watching import (
    find_crossings,
    find_skill,
    list_left,
    list_look_steps,
    replay,
)
from rankshift.watch_files import read_crossings, read_divergences, read_looks
from rankshift.watch_records import CrossingKind, CrossingRecord, LookRecord
from tests.watched_groups import EVERY_STEP, FLOOR, WATCHED, build_group, read_all, train

Curve = dict[int, float]


@pytest.fixture(scope="module")
def arms(make_arm) -> list[Arm]:
    """Make arms that cross at other steps; the third crosses all, the last nothing."""
    rates = (5e-2, 2e-2, 1e-2, 1e-5)
    return [make_arm(r, rate, seed=1) for r, rate in zip((1, 4, 40, 2), rates, strict=True)]


@pytest.fixture(scope="module")
def watched(tiny_model_directory: Path, tmp_path_factory, make_rows, arms) -> Group:
    """Train the arms, watched at every step."""
    group = build_group(tmp_path_factory.mktemp("watched"), make_rows(44), arms, WATCHED)
    train(group, tiny_model_directory)
    return group


@pytest.fixture(scope="module")
def every_step(tiny_model_directory: Path, tmp_path_factory, make_rows, arms) -> Group:
    """Train the same arms with a checkpoint at every step and no crossing."""
    group = build_group(tmp_path_factory.mktemp("every"), make_rows(44), arms, EVERY_STEP)
    train(group, tiny_model_directory)
    return group


def read_curves(files: ArmFiles, dataset: str = "counting") -> tuple[Curve, Curve]:
    """Read loss and divergence of every kept step."""
    losses = read_records(files.held_out_path, HeldOutRecord)
    far = {record.step: record.kl for record in read_divergences(files)}
    return {record.step: record.loss for record in losses if record.dataset == dataset}, far


def find_by_hand(losses: Curve, far: Curve, base: float, training: Training) -> set[tuple]:
    """Find each crossing by going through all steps: kind, value, step and what was reached."""
    found = set()
    for value in training.crossings:
        for step in sorted(losses):
            skill = (base - losses[step]) / (base - FLOOR)
            if step % training.watch_every == 0 and skill >= value:
                found.add(("skill", value, step, skill))
                break
    for value in training.kl_crossings:
        for step in sorted(far):
            if step % training.watch_every == 0 and far[step] >= value:
                found.add(("kl", value, step, far[step]))
                break
    return found


def describe(crossings: list[CrossingRecord]) -> set[tuple]:
    """Describe recorded crossings likewise."""
    assert len({(c.kind, c.value) for c in crossings}) == len(crossings)
    return {(c.kind, c.value, c.step, c.reached) for c in crossings}


def test_a_crossing_is_the_first_step_that_a_run_with_every_checkpoint_finds(watched, every_step):
    steps = set()
    for files, reference in zip(watched.files, every_step.files, strict=True):
        losses, far = read_curves(reference)
        base = read_looks(files)[0].loss
        assert base is not None
        expected = find_by_hand(losses, far, base, WATCHED)
        crossings = read_crossings(files)
        assert describe(crossings) == expected
        for crossing in crossings:
            assert (crossing.loss, crossing.base_loss) == (losses[crossing.step], base)
            assert crossing.floor == FLOOR
            steps.add(crossing.step)
    assert len(steps) > 3  # not all at one


def test_what_is_kept_at_a_crossing_is_what_a_checkpoint_there_would_be(watched, every_step):
    for files, reference in zip(watched.files, every_step.files, strict=True):
        crossed = {crossing.step for crossing in read_crossings(files)}
        kept = sorted(crossed.union(WATCHED.checkpoints))
        names = {f"step-{step:06d}" for step in kept}
        assert {path.name for path in files.directory.glob("checkpoints/*")} == names
        ours, theirs = read_all(files), read_all(reference)
        for name in ours:
            if name.startswith("checkpoints/"):
                assert ours[name] == theirs[name]
        for dataset in ("counting", "other"):
            losses, far = read_curves(files, dataset)
            every_loss, every_far = read_curves(reference, dataset)
            assert losses == {step: every_loss[step] for step in kept}
            assert far == {step: every_far[step] for step in kept}


def test_an_arm_that_never_crosses_has_no_crossing_and_is_looked_at_to_the_end(watched):
    files = watched.files[3]
    assert read_crossings(files) == []
    assert [seen.step for seen in read_looks(files)] == list(range(9))
    partly = {(c.kind, c.value) for c in read_crossings(watched.files[1])}
    assert ("skill", 0.1) in partly
    assert ("skill", 0.15) not in partly


def test_an_arm_with_nothing_left_to_cross_is_not_looked_at_any_more(watched):
    files = watched.files[2]
    last = max(crossing.step for crossing in read_crossings(files))
    looks = read_looks(files)
    assert last < 5
    assert [seen.step for seen in looks] == list(range(last + 1))
    # The divergence is not measured once no crossing of it is left.
    by_kl = max(c.step for c in read_crossings(files) if c.kind == "kl")
    assert [seen.kl is not None for seen in looks] == [seen.step <= by_kl for seen in looks]


def test_the_first_look_is_at_the_base(watched):
    for files in watched.files:
        first = read_looks(files)[0]
        assert first.loss == pytest.approx(6.1708, abs=1e-4)
        assert first.kl == pytest.approx(0, abs=1e-9)


def test_looks_come_no_more_often_than_asked_and_cross_at_the_next_one(
    tiny_model_directory: Path, tmp_path, make_rows, arms, every_step
):
    training = replace(WATCHED, watch_every=3)
    group = build_group(tmp_path, make_rows(44), arms, training)
    train(group, tiny_model_directory)
    for files, reference in zip(group.files, every_step.files, strict=True):
        looks = read_looks(files)
        assert {seen.step for seen in looks} <= {0, 3, 6}
        losses, far = read_curves(reference)
        assert looks[0].loss is not None
        expected = find_by_hand(losses, far, looks[0].loss, training)
        assert describe(read_crossings(files)) == expected


def test_a_neighbour_that_crosses_at_other_steps_changes_no_bit_of_an_arm(
    tiny_model_directory: Path, tmp_path, make_rows, arms, watched
):
    others = [replace(arms[0], learning_rate=1e-4), arms[1], replace(arms[2], learning_rate=1e30)]
    group = build_group(tmp_path, make_rows(44), [*others, arms[3]], WATCHED)
    train(group, tiny_model_directory)
    same = [read_all(a) == read_all(b) for a, b in zip(group.files, watched.files, strict=True)]
    assert same == [False, True, False, True]
    assert read_crossings(group.files[2]) == []  # it stopped on a loss that was not finite


def test_full_finetuning_is_watched_likewise_and_against_the_base_it_came_from(
    tiny_model_directory: Path, tmp_path, make_rows
):
    arm = Arm("full", "task", "counting", learning_rate=1e-2, seed=1)
    ours, every = (
        build_group(tmp_path / name, make_rows(44), [arm], training)
        for name, training in (("ours", WATCHED), ("every", EVERY_STEP))
    )
    train(ours, tiny_model_directory)
    train(every, tiny_model_directory)
    losses, far = read_curves(every.files[0])
    base = read_looks(ours.files[0])[0].loss
    assert base is not None
    expected = find_by_hand(losses, far, base, WATCHED)
    assert describe(read_crossings(ours.files[0])) == expected
    assert {kind for kind, *_ in expected} == {"skill", "kl"}


def test_a_twins_skill_is_on_its_own_rows_down_to_its_own_floor(
    tiny_model_directory: Path, tmp_path, make_rows, make_arm
):
    twin = replace(make_arm(4, 2e-2, seed=1), role="twin", dataset="other")
    group = build_group(tmp_path, make_rows(44), [twin], replace(WATCHED, kl_crossings=()))
    group.floor = 2.0
    train(group, tiny_model_directory)
    own, _ = read_curves(group.files[0], "other")
    crossings = read_crossings(group.files[0])
    assert crossings
    for crossing in crossings:
        assert crossing.loss == own[crossing.step]
        drop = crossing.base_loss - 2.0
        assert crossing.reached == (crossing.base_loss - own[crossing.step]) / drop


def test_a_floor_above_the_bases_loss_is_refused_of_a_task_and_leaves_a_twin_censored(
    tiny_model_directory: Path, tmp_path, make_rows, make_arm
):
    arm = make_arm(2, 1e-2)
    group = build_group(tmp_path / "task", make_rows(44), [arm], WATCHED)
    group.floor = 9.0
    with pytest.raises(UserError) as caught:
        train(group, tiny_model_directory)
    assert str(caught.value) == (
        "data.floor = 9 is not below the base's loss on the held-out rows of counting, 6.1708: no "
        "skill can be measured; correct it, or leave out training.crossings"
    )
    skills = replace(WATCHED, kl_crossings=())
    twins = build_group(tmp_path / "twin", make_rows(44), [replace(arm, role="twin")], skills)
    twins.floor = 9.0
    train(twins, tiny_model_directory)
    assert read_crossings(twins.files[0]) == []


def test_skill_is_the_share_of_the_drop_to_the_floor():
    assert find_skill(3.0, 3.0, 1.0) == 0
    assert find_skill(1.0, 3.0, 1.0) == 1
    assert find_skill(1.5, 3.0, 1.0) == 0.75
    assert find_skill(1.0, 3.0, None) is None
    assert find_skill(1.0, 1.0, 1.0) is None


def test_a_look_that_is_not_finite_crosses_nothing():
    left: list[tuple[CrossingKind, float]] = [("skill", 0.5), ("kl", 0.1)]
    assert find_crossings(left, LookRecord(4, None, 9.0), 3.0, 1.0) == []
    assert find_crossings(left, LookRecord(4, 1.0, None), None, 1.0) == []
    assert [c.kind for c in find_crossings(left, LookRecord(4, 1.0, None), 3.0, 1.0)] == ["skill"]


def test_crossings_follow_from_the_looks_alone():
    training = Training(steps=8, checkpoints=(8,), crossings=(0.5, 0.9), kl_crossings=(0.1,))
    losses = {0: 3.0, 2: 2.0, 4: 2.5, 6: 1.1}
    looks = [LookRecord(step, loss, step / 50) for step, loss in losses.items()]
    found = [(c.kind, c.value, c.step) for c in replay(training, 1.0, looks)]
    assert found == [("skill", 0.5, 2), ("skill", 0.9, 6), ("kl", 0.1, 6)]
    assert list_left(training, replay(training, 1.0, looks[:3])) == [("skill", 0.9), ("kl", 0.1)]


def test_look_steps_end_where_all_is_crossed():
    training = Training(steps=9, checkpoints=(9,), crossings=(0.5,), watch_every=2)
    crossing = CrossingRecord("skill", 0.5, 4, 0.6, 1.8, 3.0, 1.0)
    assert list_look_steps(training, [], 9) == [0, 2, 4, 6, 8]
    assert list_look_steps(training, [crossing], 9) == [0, 2, 4]
    assert list_look_steps(replace(training, crossings=()), [], 9) == []
