"""An arm that comes apart is stopped by a rule on its own steps; its neighbours do not notice."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rankshift.model.loading import load_model
from rankshift.records import StepRecord, read_records
from rankshift.train.explosion import STEPS_ABOVE, has_exploded, uniform_loss
from tests.watched_groups import PLAIN, build_group, read_all, train

LONG = replace(PLAIN, steps=16, checkpoints=(2, 16))


def make_steps(losses):
    return [StepRecord(at, loss, 9, 1.0, 1e-3) for at, loss in enumerate(losses, start=1)]


def test_a_uniform_guess_is_among_all_tokens(tiny_model_directory: Path):
    assert uniform_loss(load_model(tiny_model_directory)) == math.log(256 + 3)  # bytes and markers


def test_only_so_many_steps_in_a_row_beyond_half_way_are_an_explosion():
    high = [4.1] * STEPS_ABOVE  # half of the way from 2 to 6 is 4
    assert has_exploded(make_steps([2.0, *high]), 6.0)
    assert not has_exploded(make_steps([2.0, *high[1:]]), 6.0)
    assert not has_exploded(make_steps([2.0, *high[:4], 4.0, *high[5:]]), 6.0)  # it came back
    assert not has_exploded(make_steps([2.0, *high[1:], None]), 6.0)  # that stops it on its own
    assert not has_exploded(make_steps([6.5, *[9.0] * STEPS_ABOVE]), 6.0)  # the base knew nothing


@pytest.fixture(scope="module")
def skilled_directory(tiny_model_directory: Path, tmp_path_factory, make_rows) -> Path:
    """Teach the tiny model to count, so that it has something to lose."""
    model = load_model(tiny_model_directory)
    model.requires_grad_()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    tokens = [torch.tensor([row.token_ids]) for row in make_rows(44)]
    for _ in range(4):
        for row in tokens:
            model(input_ids=row, labels=row).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("skilled")
    model.save_pretrained(folder)
    return folder


def test_an_arm_that_explodes_is_stopped_and_marked_and_its_neighbour_keeps_every_bit(
    skilled_directory: Path, tmp_path, make_rows, make_arm
):
    def build(name, rate):
        arms = [make_arm(2, rate), make_arm(4, 1e-3, seed=1)]
        return build_group(tmp_path / name, make_rows(44), arms, LONG)

    calm, wild = build("calm", 1e-3), build("wild", 3.0)
    train(calm, skilled_directory)
    train(wild, skilled_directory)
    assert read_all(wild.files[1]) == read_all(calm.files[1])
    assert len(read_records(calm.files[0].steps_path, StepRecord)) == 16
    steps = read_records(wild.files[0].steps_path, StepRecord)
    assert all(step.loss is not None for step in steps)  # it is not for want of a number
    assert len(steps) < 16
    assert [step.stops for step in steps] == [False] * (len(steps) - 1) + [True]
    assert steps[-1].exploded
    assert wild.files[0].checkpoint(2).exists()
    assert not wild.files[0].checkpoint(16).exists()
    again = build("wild", 3.0)
    before = [read_all(files) for files in again.files]
    train(again, skilled_directory)  # resumed from its last state, which has it stopped
    assert [read_all(files) for files in again.files] == before
