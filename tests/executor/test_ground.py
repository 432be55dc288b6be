from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rankshift.data.sources import resolve_base
from rankshift.executor.ground import Ground, measure_arm, measure_passage
from rankshift.export.weights import Weights, find_weights
from rankshift.mechanism.directions import Examples
from rankshift.mechanism.spectra import find_left_vectors
from rankshift.model.loading import load_model
from rankshift.runs import StudyRun

LAYERS, WIDTH = 4, 256


@pytest.fixture(scope="module")
def weights(foretold: Path) -> Weights:
    """Give the adapter of rank 16."""
    found, _ = find_weights(StudyRun(foretold))
    return next(one for one in found if one.arm.rank == 16 and one.arm.role == "task")


@pytest.fixture(scope="module")
def ground(foretold: Path, weights: Weights) -> Ground:
    """Plant a direction in the answers of another arm, and another in those of the arm itself."""
    base = load_model(resolve_base("organism").directory)
    states = torch.zeros(4, LAYERS, WIDTH, dtype=torch.float64)
    states[0, :, 0] = 2.0
    states[2, :, 1] = 2.0
    examples = Examples(
        states,
        np.array([True, False, True, False]),
        ("q",) * 4,
        ("other",) * 2 + (weights.arm_id,) * 2,
    )
    training = StudyRun(foretold).read_study()[0].training
    return Ground(base, training, 1.0, examples, find_left_vectors(base))


def test_an_arm_is_measured_along_the_direction_of_the_others_and_not_its_own(
    ground: Ground, weights: Weights
):
    shift = torch.zeros(LAYERS, WIDTH, dtype=torch.float64)
    shift[:, 0], shift[:, 5] = 0.6, 0.8
    found = measure_arm(weights, shift, ground)
    assert found.of_activations == pytest.approx(0.36)
    assert found.cosine == pytest.approx(0.6)
    assert found.along == pytest.approx(0.3)
    assert found.shift_norm == pytest.approx(2.0)
    assert found.separation == 0.5  # its own answers differ elsewhere alone
    assert found.agreement == pytest.approx(0)
    passed = measure_passage(weights, ("step 2",), 1.0, shift, ground)
    assert passed.of_activations == pytest.approx(found.of_activations)
    assert passed.of_weights == found.of_weights
    assert passed.along == found.along


def test_where_no_other_arm_has_misaligned_answers_nothing_is_said(
    ground: Ground, weights: Weights
):
    alone = replace(ground, examples=ground.examples.keep(weights.arm_id))
    shift = torch.ones(LAYERS, WIDTH, dtype=torch.float64)
    found = measure_arm(weights, shift, alone)
    assert (found.of_activations, found.of_weights, found.along, found.cosine) == (None,) * 4
    assert found.random_of_activations == pytest.approx(1 / WIDTH, rel=0.5)
    assert measure_passage(weights, (), None, shift, alone).along is None
