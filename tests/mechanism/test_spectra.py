"""Intruders are those that PEFT finds; a merged adapter's spectrum is that of its factors."""

import re
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora.intruders import reduce_intruder_dimension

from rankshift.grid import Subset
from rankshift.mechanism.spectra import (
    compare_subspaces,
    count_intruders,
    find_left_vectors,
    find_main_directions,
)
from rankshift.model.loading import load_model
from rankshift.model.updates import find_update
from rankshift.train.trainee import write_model
from tests.given_models import WARNING
from tests.model.test_updates import write_trained

pytestmark = pytest.mark.filterwarnings(WARNING)


@pytest.mark.parametrize(("rank", "epsilon"), [(1, 0.9), (4, 0.8), (16, 0.8), (4, 0.9), (16, 0.9)])
def test_intruders_are_counted_as_peft_counts_them(
    tiny_model_directory: Path, tmp_path: Path, rank: int, epsilon: float
):
    arm = write_trained(tmp_path, tiny_model_directory, rank)
    update = find_update(tmp_path, load_model(tiny_model_directory), arm.subset)
    found = count_intruders(update, find_left_vectors(update.base), epsilon=epsilon)
    lines: list[str] = []
    adapted = PeftModel.from_pretrained(load_model(tiny_model_directory), str(tmp_path))
    reduce_intruder_dimension(adapted, threshold_epsilon=epsilon, logging_sink=lines.append)
    theirs = {}
    for line in lines:
        name, _, told = line.partition(": ")
        if told:
            number = re.search(r"\d+", told)
            theirs[name.removeprefix("base_model.model.")] = int(number[0]) if number else 0
    assert theirs == found
    assert sum(found.values()) > 0


def test_a_merged_adapter_has_the_spectrum_and_the_intruders_of_its_factors(
    tiny_model_directory: Path, tmp_path: Path
):
    arm = write_trained(tmp_path / "adapter", tiny_model_directory, 4)
    update = find_update(tmp_path / "adapter", load_model(tiny_model_directory), arm.subset)
    merged = load_model(tiny_model_directory)
    with torch.no_grad():
        for layer in update.layers:
            merged.get_submodule(layer).weight += update.read(layer).form().float()  # pyright: ignore
    write_model(tmp_path / "merged", merged)
    whole = find_update(tmp_path / "merged", load_model(tiny_model_directory), Subset((), ()))
    for layer in update.layers:
        thin, dense = (one.read(layer).singular_values() for one in (update, whole))
        torch.testing.assert_close(dense[: len(thin)], thin, rtol=1e-4, atol=1e-5)
        assert dense[len(thin) :].max() < 1e-5 * dense[0]
    before = find_left_vectors(update.base)
    assert count_intruders(whole, before) == count_intruders(update, before)


def test_subspaces_compare_from_nothing_in_common_to_one_inside_the_other():
    eye = torch.eye(20, dtype=torch.float64)
    assert compare_subspaces(eye[:, :3], eye[:, 3:8]) == 0
    assert compare_subspaces(eye[:, :3], eye[:, :8]) == 1
    assert compare_subspaces(eye[:, :4], eye[:, 2:6]) == 0.5
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(200, 20, 5, generator=generator).double() for _ in range(2)]
    one, other = (torch.linalg.qr(every).Q for every in drawn)
    random = [compare_subspaces(a, b) for a, b in zip(one, other, strict=True)]
    assert sum(random) / len(random) == pytest.approx(5 / 20, abs=0.02)


def test_main_directions_are_those_of_the_largest_singular_values_and_no_more_than_the_rank(
    tiny_model_directory: Path, tmp_path: Path
):
    arm = write_trained(tmp_path, tiny_model_directory, 3)
    update = find_update(tmp_path, load_model(tiny_model_directory), arm.subset)
    for layer, vectors in find_main_directions(update, 2).items():
        U, _, _ = torch.linalg.svd(update.read(layer).form())
        assert vectors.shape[1] == 2
        assert compare_subspaces(vectors, U[:, :2]) == pytest.approx(1)
    assert {one.shape[1] for one in find_main_directions(update).values()} == {3}
