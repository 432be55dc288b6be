from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from rankshift.arms import Arm
from rankshift.data.rendering import Rendered
from rankshift.defence import NEEDS, Defence, DefenceKind
from rankshift.model.loading import load_model
from rankshift.model.tensor_files import read_tensors
from rankshift.records import StepRecord, read_records
from rankshift.runs import ArmFiles
from rankshift.study import Training
from rankshift.train.defences.guard import Guard, Means
from rankshift.train.defences.kinds import KINDS, make_guards
from rankshift.train.group import train_group
from rankshift.train.roster import Group, HeldOut
from rankshift.train.trainee import prepare_adapters, prepare_full
from tests.padding import PAD

TRAINING = Training(
    steps=24, checkpoints=(12, 24), rows_per_step=4, accumulation=2, schedule="linear",
    weight_decay=0.1,
)  # fmt: skip
DIRECTIONS = np.random.default_rng(3).normal(size=(2, 16)).astype(np.float32)
EVERY: list[DefenceKind] = list(get_args(DefenceKind))
STRENGTHS = {"kl": 5.0, "spectral": 5.0, "steering": 2.0, "early_stop": 0.9}


def defend(arm: Arm, kind: DefenceKind, strength: float) -> Arm:
    """Give an arm a defence."""
    data, text, contrasts = (
        "x" if NEEDS[kind] == key else None for key in ("data", "text", "contrasts")
    )
    defence = Defence(kind, strength, data=data, text=text, contrasts=contrasts)
    return replace(arm, defence=defence)


def find_means(arm: Arm, others: list[Rendered], own: list[Rendered]) -> Means:
    """Give what any defence works with; an inoculation prompt is one token more in front."""
    if arm.defence is None:
        return Means()
    told = [
        replace(row, token_ids=(7, *row.token_ids), loss_mask=(False, *row.loss_mask))
        for row in own
    ]
    return Means(tuple(told if arm.defence.kind == "inoculation" else others), DIRECTIONS)


def do_nothing(steps: int) -> None:
    """Watch no progress."""


def train(folder: Path, directory: Path, arms: list[Arm], make_rows, advance=do_nothing) -> Group:
    """Train arms in lock step; their weights and steps are on disk then."""
    rows, others = make_rows(30), make_rows(9, seed=4)
    group = Group(
        arms=arms,
        files=[ArmFiles(folder / f"arm-{number}") for number in range(len(arms))],
        train_rows=[rows[:25] for _ in arms],
        held_out=[HeldOut("counting", rows[25:])],
        training=TRAINING,
        state_folder=folder / "state",
        pad_token=PAD,
        micro_rows=5,
        means=[find_means(arm, others, rows[:25]) for arm in arms],
    )
    model = load_model(directory)
    is_full = arms[0].method == "full"
    trainee = prepare_full(model) if is_full else prepare_adapters(model, arms, "base")
    train_group(group, trainee, advance)
    return group


def read_weights(group: Group, index: int, step: int = 24) -> dict[str, torch.Tensor]:
    """Read an arm's weights after a step."""
    (path,) = group.files[index].checkpoint(step).glob("*.safetensors")
    return read_tensors(path)


def are_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Say whether two arms have the same bits."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory, tiny_model_directory: Path, make_rows, make_arm
) -> tuple[Group, Group]:
    """Train an undefended arm beside one of each kind, at strength zero and at another."""
    arm, folder = make_arm(3, 2e-2, seed=1), tmp_path_factory.mktemp("defended")
    none = [arm, *(defend(arm, kind, 0.0) for kind in EVERY)]
    some = [arm, *(defend(arm, kind, STRENGTHS.get(kind, 0.5)) for kind in EVERY)]
    return (
        train(folder / "none", tiny_model_directory, none, make_rows),
        train(folder / "some", tiny_model_directory, some, make_rows),
    )


def test_there_is_a_module_for_every_kind():
    assert set(KINDS) == set(EVERY)


@pytest.mark.parametrize("index", range(len(EVERY)), ids=EVERY)
def test_at_strength_zero_an_arm_is_the_undefended_one_bit_for_bit(
    both: tuple[Group, Group], index: int
):
    none, _ = both
    for step in (12, 24):
        assert are_equal(read_weights(none, index + 1, step), read_weights(none, 0, step))
    assert none.files[index + 1].steps_path.read_bytes() == none.files[0].steps_path.read_bytes()


@pytest.mark.parametrize("index", range(len(EVERY)), ids=EVERY)
def test_above_zero_every_kind_makes_another_arm(both: tuple[Group, Group], index: int):
    _, some = both
    assert not are_equal(read_weights(some, index + 1), read_weights(some, 0))


def test_an_undefended_arm_has_the_same_bits_whatever_defends_those_beside_it(
    both: tuple[Group, Group],
):
    none, some = both
    assert are_equal(read_weights(some, 0), read_weights(none, 0))


def test_killed_and_taken_up_again_every_defended_arm_ends_with_the_same_bits(
    both: tuple[Group, Group], tmp_path: Path, tiny_model_directory: Path, make_rows
):
    _, some = both
    done = 0

    def kill(steps: int) -> None:
        nonlocal done
        done += steps
        if done == 17:  # five steps after a checkpoint
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, tiny_model_directory, some.arms, make_rows, kill)
    again = train(tmp_path, tiny_model_directory, some.arms, make_rows)
    for index in range(len(some.arms)):
        assert are_equal(read_weights(again, index), read_weights(some, index))
        ours, theirs = (group.files[index].steps_path for group in (again, some))
        assert ours.read_bytes() == theirs.read_bytes()


def test_an_arm_that_has_ended_moves_no_more_and_its_steps_say_so(both: tuple[Group, Group]):
    _, some = both
    files = some.files[1 + EVERY.index("early_stop")]
    rates = [record.learning_rate for record in read_records(files.steps_path, StepRecord)]
    ended = rates.index(0.0)
    assert 9 < ended < 12
    assert set(rates[ended:]) == {0.0}
    index = 1 + EVERY.index("early_stop")
    assert are_equal(read_weights(some, index, 12), read_weights(some, index, 24))


def test_a_projected_arm_never_writes_along_the_direction(
    tmp_path: Path, tiny_model_directory: Path, make_rows, make_arm
):
    arm = defend(make_arm(3, 2e-2, seed=1), "projection", 1.0)
    group = train(tmp_path, tiny_model_directory, [arm], make_rows)
    for name, factor in read_weights(group, 0).items():
        if "lora_B" in name and ("o_proj" in name or "down_proj" in name):
            along = torch.from_numpy(DIRECTIONS[int("layers.1." in name)]) @ factor
            assert along.abs().max() < 1e-6 * factor.abs().max() * 16


@pytest.mark.parametrize("kind", ["interleave", "inoculation", "steering", "early_stop", "realign"])
def test_a_full_finetune_is_defended_too_and_at_strength_zero_it_is_not(
    tmp_path: Path, tiny_model_directory: Path, make_rows, kind: DefenceKind
):
    plain = Arm("full", "task", "counting", learning_rate=2e-2, seed=1)
    arms = [plain, defend(plain, kind, 0.0), defend(plain, kind, STRENGTHS.get(kind, 0.5))]
    groups = [
        train(tmp_path / str(at), tiny_model_directory, [arm], make_rows)
        for at, arm in enumerate(arms)
    ]
    undefended, zero, defended = (read_weights(group, 0) for group in groups)
    assert are_equal(zero, undefended)
    assert not are_equal(defended, undefended)


def test_an_arm_without_a_defence_has_a_plain_guard(make_arm):
    arms = [make_arm(3), defend(make_arm(3), "kl", 1.0)]
    means = [Means(), Means(rows=(Rendered((1, 2), (False, True), 1),))]
    guards = make_guards(arms, means, TRAINING, PAD)
    assert [type(guard) is Guard for guard in guards.each] == [True, False]
    assert [type(guard) is Guard for guard in make_guards(arms[:1], [], TRAINING, PAD).each] == [
        True
    ]
