"""A model of one's own for every test, and tokens to run through it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.model.loading import load_model


@pytest.fixture
def tiny_model(tiny_model_directory: Path) -> PreTrainedModel:
    """Load the tiny model anew, so that a test may change it."""
    return load_model(tiny_model_directory)


@pytest.fixture
def token_ids() -> Tensor:
    """Draw 6 rows of 9 tokens."""
    return torch.randint(0, 256, (6, 9), generator=torch.Generator().manual_seed(1))
