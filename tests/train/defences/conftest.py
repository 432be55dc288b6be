"""Two arms whose updates are not zero, for defences to act on."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rankshift.model.loading import load_model
from rankshift.train.trainee import Trainee, prepare_adapters

MakeTrainee = Callable[[float], Trainee]


@pytest.fixture
def make_trainee(tiny_model_directory: Path, make_arm) -> MakeTrainee:
    """Load two arms of ranks 3 and 4 whose B is drawn with a standard deviation."""

    def make(std: float) -> Trainee:
        found = prepare_adapters(load_model(tiny_model_directory), [make_arm(3), make_arm(4)], "")
        generator = torch.Generator().manual_seed(2)
        for own in found.tensors:
            for factor_B in own[1::2]:
                factor_B.data.normal_(std=std, generator=generator)
        return found

    return make
