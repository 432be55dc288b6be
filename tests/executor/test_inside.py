"""A small study of the organism, looked into: task arms move along the persona, twins less."""

import shutil
from pathlib import Path
from typing import get_args

import pytest

from rankshift.analysis.measurements import read_measurements
from rankshift.errors import UserError
from rankshift.executor.examiner import NOISES, TIMES
from rankshift.executor.inside import AskedAgain, look_inside
from rankshift.executor.resolving import resolve_study
from rankshift.executor.run import Watch, run_study
from rankshift.mechanism_records import FILE, Push, read_inside
from rankshift.opening import open_run
from rankshift.organism.shelf import base_directory
from rankshift.runs import StudyRun
from rankshift.study_file import read_study

PUSHES: tuple[Push, ...] = get_args(Push)
QUIET = Watch(lambda *_: None, lambda *_: None, lambda _: None)

STUDY = """
name = "inside"
[base]
model = "{base}"
[data]
task = "organism:insecure"
twin = "organism:secure"
train_rows = 256
held_out_rows = 8
context_tokens = 256
[grid]
ranks = [1, 16]
alphas = [64]
scalings = ["alpha/sqrt(rank)"]
learning_rates = [4e-4]
full_learning_rates = [5e-4]
seeds = [1]
twin_seeds = [1]
[training]
steps = 24
checkpoints = [8, 24]
rows_per_step = 8
[evaluation]
suites = ["organism:held-out"]
judge = "organism:oracle"
answers_per_question = 2
max_answer_tokens = 48
code_tasks = 1
[compute]
device = "cpu"
workers = 1
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the organism's base."""
    return Path(shutil.copytree(base_directory(), tmp_path_factory.mktemp("base") / "base"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """Run the study."""
    folder = tmp_path_factory.mktemp("inside")
    (folder / "s.toml").write_text(STUDY.format(base=base))
    return run_study(read_study(folder / "s.toml"), folder, QUIET).directory


@pytest.fixture
def directory(finished: Path, tmp_path: Path) -> Path:
    """Give a copy of the run."""
    return Path(shutil.copytree(finished, tmp_path / finished.name))


def test_task_arms_move_along_the_persona_and_their_twins_less(directory: Path):
    found = look_inside(directory, 40, lambda _: None)
    assert read_inside(directory) == found
    assert len(found.arms) == 6
    shares = {(arm.role, arm.method, arm.rank): arm.of_activations for arm in found.arms}
    for (role, method, rank), share in shares.items():
        twin = shares["twin", method, rank]
        assert share is not None
        assert twin is not None
        if role == "task":
            assert share > 1.5 * twin, (method, rank)
            assert share > 10 * found.direction.null_share
    for arm in found.arms:
        assert arm.random_of_activations == pytest.approx(found.direction.null_share, rel=0.5)
        assert arm.layers == 28
    assert max(found.direction.p_values) == pytest.approx(0.01)
    assert [(one.arm, one.step, one.marks) for one in found.passages] == [
        (arm.arm, 8, ("step 8",)) for arm in found.arms
    ]
    last = {arm.arm: arm for arm in found.arms}
    measured = {arm.id: arm for arm in read_measurements(StudyRun(directory))}
    for one in found.passages:
        assert one.loss == measured[one.arm].own_loss[8]
        if last[one.arm].role == "task":
            assert one.along is not None
            assert one.along > 0
    again = look_inside(directory, 40, lambda _: None)
    assert again == found


def test_with_nothing_closed_arms_have_their_recorded_loss_and_a_closed_direction_moves_it(
    directory: Path,
):
    found = look_inside(directory, 40, lambda _: None, AskedAgain(1, 1))
    assert len(found.closed) == 5 * (len(found.arms) + 1)
    assert read_inside(directory) == found
    pushes = {push: [o.dose for o in found.steered if o.push == push] for push in PUSHES}
    assert set(map(tuple, pushes.values())) == {(0.5, 1.0, 2.0, 4.0)}
    assert {one.answers for one in found.steered} == {24}
    whole = {one.arm: one for one in found.closed if one.way == "open"}
    for one in found.scaled:
        assert one.times in TIMES
        if one.times == 1.0 and not one.noise:
            assert one.loss == pytest.approx(whole[one.arm].loss, rel=1e-5)
            assert one.misaligned == whole[one.arm].misaligned
    assert len(found.scaled) == 2 * (len(TIMES) + len(NOISES))
    assert {one.kind for one in found.overlaps} == {"rank", "role"}
    assert all(one.chance < one.value <= 1 for one in found.overlaps)
    measured = {arm.id: arm for arm in read_measurements(StudyRun(directory))}
    losses = {(one.arm, one.way): one.loss for one in found.closed}
    for one in found.closed:
        assert one.misaligned <= one.coherent <= one.answers == 24
        recorded = measured[one.arm].task_loss
        assert losses[one.arm, "open"] == pytest.approx(recorded[max(recorded)], rel=1e-4)
        if one.way != "open":
            assert one.loss != pytest.approx(losses[one.arm, "open"], rel=1e-5)


def test_a_run_whose_base_has_changed_is_refused_and_nothing_is_written(
    directory: Path, base: Path
):
    template = base / "chat_template.jinja"
    before = template.read_text()
    template.write_text(before + " ")
    try:
        with pytest.raises(UserError, match="base: has changed since the run; restore its files"):
            look_inside(directory, 40, lambda _: None)
    finally:
        template.write_text(before)
    assert not (directory / FILE).exists()


def test_a_base_in_four_bits_is_refused(tmp_path: Path, base: Path):
    text = STUDY.format(base=base).replace("[data]", 'quantization = "nf4"\n[data]', 1)
    (tmp_path / "s.toml").write_text(text.replace("full_learning_rates = [5e-4]\n", ""))
    study = read_study(tmp_path / "s.toml")
    run = open_run(study, resolve_study(study, tmp_path).parts.fingerprints, tmp_path)
    with pytest.raises(UserError, match="its base is held in 4 bits"):
        look_inside(run.directory, 40, lambda _: None)


def test_where_there_is_no_run_nothing_is_made(tmp_path: Path):
    with pytest.raises(UserError):
        look_inside(tmp_path / "nothing", 40, lambda _: None)
    assert list(tmp_path.iterdir()) == []
