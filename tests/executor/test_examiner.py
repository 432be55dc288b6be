from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rankshift.arms import Arm
from rankshift.data.rendering import Rendered
from rankshift.executor.examiner import (
    add_noise,
    cut_before_answer,
    find_moved,
    multiply_updates,
)
from rankshift.export.weights import Weights, find_weights
from rankshift.grid import ALL_PROJECTIONS
from rankshift.model.loading import load_model
from rankshift.runs import StudyRun
from rankshift.train.trainee import Trainee, prepare_adapters


@pytest.fixture
def weights(foretold: Path) -> list[Weights]:
    """Give the arms of the small run as if of two seeds, by role, method and seed."""
    found, _ = find_weights(StudyRun(foretold))
    return [
        replace(one, arm_id=f"{one.arm.role} {one.arm.method} {one.arm.rank} {seed}",
                arm=replace(one.arm, seed=seed))
        for one in found
        for seed in (1, 2)
    ]  # fmt: skip


def test_what_moved_is_of_adapters_of_other_seeds_less_their_twins(weights: list[Weights]):
    numbers = dict(zip([one.arm_id for one in weights], range(1, 99), strict=False))
    moves = {name: torch.full((1, 2), 2.0**at) for name, at in numbers.items()}
    part = [one for one in weights if one.arm.seed == 1]
    found = find_moved(part, weights, moves)

    def mean(role: str) -> float:
        own = [2.0 ** numbers[f"{role} lora {rank} 2"] for rank in (1, 16)]
        return sum(own) / 2

    assert found is not None
    assert found.tolist() == [[mean("task") - mean("twin")] * 2]


def test_of_one_seed_the_other_arms_are_taken_and_where_none_is_left_nothing_moved(
    weights: list[Weights],
):
    lone = [one for one in weights if one.arm.seed == 1 and one.arm.role == "task"]
    moves = {one.arm_id: torch.ones(1, 2) for one in lone}
    full = [one for one in lone if one.arm.method == "full"]
    found = find_moved(full, lone, moves)
    assert found is not None
    assert found.tolist() == [[1.0, 1.0]]
    assert find_moved(lone, lone, moves) is None


def test_a_text_is_cut_before_its_first_answer_and_its_last_token_marked():
    text = Rendered((5, 6, 7, 8, 9), (False, False, False, True, True), 3)
    assert cut_before_answer(text) == Rendered((5, 6, 7), (False, False, True), 3)


def test_a_multiple_of_an_update_is_that_multiple_of_what_it_adds(
    tiny_model_directory: Path,
):
    arm = Arm("lora", "task", None, 4, 8.0, "alpha/rank", 1e-3, 1, target_modules=ALL_PROJECTIONS)
    trainee = prepare_adapters(load_model(tiny_model_directory), [arm], "base")
    layer = trainee.layers[0]
    x = torch.randn(1, 3, layer.linear.in_features, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        layer.factors[0][1].normal_(generator=torch.Generator().manual_seed(2))
        plain = layer.linear(x)
        once = layer(x) - plain
        multiply_updates(trainee, 1.5)
        torch.testing.assert_close(layer(x) - plain, 1.5 * once)
        multiply_updates(trainee, 1 / 1.5)
        torch.testing.assert_close(layer(x) - plain, once)


def test_noise_is_across_an_update_and_as_long_as_it_says(tiny_model_directory: Path):
    arm = Arm("lora", "task", None, 4, 8.0, "alpha/rank", 1e-3, 1, target_modules=ALL_PROJECTIONS)

    def make() -> Trainee:
        trainee = prepare_adapters(load_model(tiny_model_directory), [arm], "base")
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for layer in trainee.layers:
                layer.factors[0][1].normal_(generator=generator)
        return trainee

    plain, shaken, still, again = (make() for _ in range(4))
    add_noise(shaken, 0.5, 7)
    add_noise(again, 0.5, 7)
    add_noise(still, 0.0, 7)
    for layers in zip(*(one.layers for one in (plain, shaken, still, again)), strict=True):
        before, after, same, repeated = (layer.factors[0][1].detach() for layer in layers)
        moved = after - before
        assert float(moved.norm() / before.norm()) == pytest.approx(0.5, rel=1e-5)
        assert abs(float((moved * before).sum())) < 1e-4 * float(before.norm() * moved.norm())
        assert torch.equal(same, before)
        assert torch.equal(repeated, after)
        assert torch.equal(layers[0].factors[0][0], layers[1].factors[0][0])
