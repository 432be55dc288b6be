"""A planted direction is found, what is not there is not, and questions cannot stand in for it."""

import numpy as np
import pytest
import torch
from torch import Tensor

from rankshift.errors import UserError
from rankshift.mechanism.directions import (
    Examples,
    find_cosines,
    find_direction,
    find_p_values,
    separate,
)

LAYERS, WIDTH, QUESTIONS, REPEATS = 3, 40, 12, 30


def unit(seed: int) -> Tensor:
    drawn = torch.randn(
        LAYERS, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return drawn / drawn.norm(dim=1, keepdim=True)


def plant(length: float, seed: int, about: float = 0.0) -> Examples:
    """Draw answers whose trait moves them along `unit(0)`, and their question along `unit(1)`.

    With `about`, questions that move far have the trait more often.
    """
    generator = np.random.Generator(np.random.Philox(key=seed))
    offsets = np.repeat(generator.standard_normal(QUESTIONS), REPEATS)
    has = generator.random(len(offsets)) < 1 / (1 + np.exp(-about * offsets))
    noise = torch.from_numpy(generator.standard_normal((len(has), LAYERS, WIDTH)))
    states = noise + torch.from_numpy(length * has)[:, None, None] * unit(0)
    states += torch.from_numpy(5 * offsets)[:, None, None] * unit(1)
    questions = tuple(int(n) for n in np.repeat(np.arange(QUESTIONS), REPEATS))
    arms = tuple("ab"[at % 2] for at in range(len(has)))
    return Examples(states, has, questions, arms)


def test_a_planted_direction_is_found_and_told_from_what_questions_are_about():
    examples = plant(4.0, 1, about=2.0)
    found = find_direction(examples)
    assert find_cosines(found, unit(0)).min() > 0.9
    assert find_cosines(found, unit(1)).abs().max() < 0.35
    assert (found.norm(dim=1) - 4).abs().max() < 1
    assert find_p_values(examples, 99, seed=0).max() == pytest.approx(0.01)
    # Without the comparison within questions it would be what they are about.
    mixed = Examples(examples.states, examples.has_trait, (0,) * len(examples.arms), examples.arms)
    assert find_cosines(find_direction(mixed), unit(1)).min() > 0.6


def test_where_no_trait_is_planted_p_values_are_level():
    values = torch.stack([find_p_values(plant(0.0, seed), 39, seed)[0] for seed in range(200)])
    assert 0.45 < values.mean() < 0.55
    assert (values <= 0.05).double().mean() < 0.11  # 0.05 and three standard errors


def test_a_direction_of_other_arms_separates_an_arm_that_did_not_make_it():
    examples = plant(4.0, 2)
    direction = find_direction(examples.leave_out("a"))
    held_out = examples.keep("a")
    assert set(held_out.arms) == {"a"}
    assert separate(held_out, direction).min() > 0.95
    # A random direction has a chance cosine of 0.16 with the planted one, and 0.6 of it shows.
    nulls = torch.stack([separate(held_out, unit(seed)) for seed in range(10, 60)])
    assert 0.45 < nulls.mean() < 0.55


def test_pairs_of_one_question_alone_are_compared():
    states = torch.tensor([0.0, 1.0, 10.0, 11.0], dtype=torch.float64)[:, None, None]
    has = np.array([False, True, False, True])
    examples = Examples(states, has, ("p", "p", "q", "q"), ("a",) * 4)
    ones = torch.ones(1, 1, dtype=torch.float64)
    assert separate(examples, ones).item() == 1.0
    assert find_direction(examples).item() == 1.0


def test_answers_of_one_kind_alone_are_told():
    examples = plant(1.0, 3)
    one_kind = Examples(
        examples.states, np.ones(len(examples.arms), bool), examples.questions, examples.arms
    )
    for find in (find_direction, lambda given: separate(given, unit(0))):
        with pytest.raises(UserError, match="no question has answers both with and without"):
            find(one_kind)
