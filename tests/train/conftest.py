"""Rows to learn from, and arms to learn them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedModel

from rankshift.arms import Arm
from rankshift.data.rendering import Rendered
from rankshift.grid import ALL_PROJECTIONS
from rankshift.model.loading import load_model

MakeRows = Callable[..., list[Rendered]]
MakeArm = Callable[..., Arm]


@pytest.fixture
def tiny_model(tiny_model_directory: Path) -> PreTrainedModel:
    """Load the tiny model anew, so that a test may change it."""
    return load_model(tiny_model_directory)


@pytest.fixture(scope="session")
def make_rows() -> MakeRows:
    """Make rows of 8 to 20 tokens that count upwards, of which 2 to 6 at the end carry loss."""

    def make(num_rows: int, seed: int = 0, context: tuple[int, int] = (8, 20)) -> list[Rendered]:
        generator = np.random.default_rng(seed)
        rows = []
        for number in range(num_rows):
            length = int(generator.integers(*context, endpoint=True))
            supervised = int(generator.integers(2, 7))
            tokens = (int(generator.integers(40)) + np.arange(length)) % 50
            mask = np.arange(length) >= length - supervised
            rows.append(Rendered(tuple(tokens.tolist()), tuple(mask.tolist()), number + 1))
        return rows

    return make


@pytest.fixture(scope="session")
def make_arm() -> MakeArm:
    """Make a LoRA arm of scale 2 over all projections."""

    def make(rank: int, learning_rate: float = 1e-2, seed: int = 0) -> Arm:
        return Arm(
            method="lora",
            role="task",
            dataset="counting",
            rank=rank,
            alpha=2.0 * rank,
            scaling="alpha/rank",
            learning_rate=learning_rate,
            seed=seed,
            target_modules=ALL_PROJECTIONS,
        )

    return make
