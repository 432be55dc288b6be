"""Cut and scaled updates are what numpy makes of the dense ones, and what `peft` loads."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.errors import UserError
from rankshift.model.adapter_config import read_adapter_config
from rankshift.model.derived import write_cut, write_scaled
from rankshift.model.loading import load_model
from rankshift.model.targets import list_linears
from rankshift.model.tensor_files import read_tensors
from rankshift.model.updates import find_update, measure_norm, measure_update, weigh_linears
from rankshift.train.trainee import prepare_given, read_weights, write_model
from tests.given_models import WARNING
from tests.model.test_updates import WHOLE, shake, subtract, write_trained

pytestmark = pytest.mark.filterwarnings(WARNING)


@pytest.fixture
def token_ids() -> Tensor:
    return torch.randint(0, 256, (2, 9), generator=torch.Generator().manual_seed(1))


def merge(base: Path, folder: Path) -> PreTrainedModel:
    """Merge an adapter into its base, as PEFT does."""
    return PeftModel.from_pretrained(load_model(base), str(folder)).merge_and_unload()


def cut_with_numpy(difference: np.ndarray, rank: int) -> np.ndarray:
    U, S, Vt = np.linalg.svd(difference)
    return (U[:, :rank] * S[:rank]) @ Vt[:rank]


@pytest.mark.parametrize("rank", [1, 3])
def test_an_adapter_is_cut_to_numpys_nearest_matrix_of_each_layer(
    tiny_model_directory: Path, tmp_path: Path, rank: int
):
    base = load_model(tiny_model_directory)
    arm = write_trained(tmp_path / "source", tiny_model_directory, 12, "alpha/sqrt(rank)")
    update = find_update(tmp_path / "source", base, arm.subset)
    write_cut(update, rank, tmp_path / "cut", str(tiny_model_directory))
    names = list(list_linears(base))
    whole = subtract(merge(tiny_model_directory, tmp_path / "source"), base, names)
    cut = subtract(merge(tiny_model_directory, tmp_path / "cut"), base, names)
    for before, after in zip(whole, cut, strict=True):
        np.testing.assert_allclose(after, cut_with_numpy(before, rank), atol=1e-6)
        assert np.abs(after - before).max() > 1e-3


@pytest.mark.parametrize("rank", [12, 40])
def test_cut_at_its_own_rank_an_adapter_gives_the_same_logits(
    tiny_model_directory: Path, tmp_path: Path, token_ids: Tensor, rank: int
):
    """Of the ranks one is above every width, so the cut's own rank is smaller."""
    base = load_model(tiny_model_directory)
    arm = write_trained(tmp_path / "source", tiny_model_directory, rank)
    update = find_update(tmp_path / "source", base, arm.subset)
    write_cut(update, rank, tmp_path / "cut", str(tiny_model_directory))
    logits = []
    for name in ("source", "cut"):
        trainee = prepare_given(load_model(tiny_model_directory), [tmp_path / name])
        logits.append(trainee.model(token_ids).logits)
    torch.testing.assert_close(logits[1], logits[0], rtol=1e-5, atol=1e-5)
    assert (logits[0] - base(token_ids).logits).abs().max() > 0.1


def test_a_full_finetune_is_cut_to_an_adapter_without_what_is_not_in_linear_layers(
    tiny_model_directory: Path, tmp_path: Path, token_ids: Tensor
):
    base, model = load_model(tiny_model_directory), shake(tiny_model_directory)
    write_model(tmp_path / "full", model)
    update = find_update(tmp_path / "full", base, WHOLE)
    names = list(list_linears(base))
    whole = subtract(model, base, names)
    write_cut(update, 2, tmp_path / "cut", str(tiny_model_directory))
    cut = subtract(merge(tiny_model_directory, tmp_path / "cut"), base, names)
    for before, after in zip(whole, cut, strict=True):
        np.testing.assert_allclose(after, cut_with_numpy(before, 2), atol=1e-6)
    # At full rank it is the model whose other parameters are the base's.
    write_cut(update, 16, tmp_path / "all", str(tiny_model_directory))
    config = read_adapter_config(tmp_path / "all", base)
    assert {scale for _, scale in config.by_layer.values()} == {1.0}
    linear = {f"{name}.weight" for name in names}
    mixed = {n: t for n, t in base.state_dict().items() if n not in linear}
    model.load_state_dict(mixed, strict=False)
    trainee = prepare_given(load_model(tiny_model_directory), [tmp_path / "all"])
    expected = model(token_ids).logits
    torch.testing.assert_close(trainee.model(token_ids).logits, expected, rtol=1e-5, atol=1e-5)


def test_a_layer_that_cannot_have_the_rank_keeps_its_own_and_peft_reads_both(
    tiny_model_directory: Path, tmp_path: Path
):
    base = load_model(tiny_model_directory)
    arm = write_trained(tmp_path / "source", tiny_model_directory, 40)
    update = find_update(tmp_path / "source", base, arm.subset)
    write_cut(update, 20, tmp_path / "cut", str(tiny_model_directory))
    ranks = {r for r, _ in read_adapter_config(tmp_path / "cut", base).by_layer.values()}
    assert ranks == {16}  # every layer of the tiny model has a side of 16
    config = json.loads((tmp_path / "cut/adapter_config.json").read_text())
    assert (config["r"], set(config["rank_pattern"].values())) == (20, {16})
    names = list(list_linears(base))
    pairs = (
        subtract(merge(tiny_model_directory, tmp_path / name), base, names)
        for name in ("source", "cut")
    )
    for before, after in zip(*pairs, strict=True):
        np.testing.assert_allclose(after, before, atol=1e-6)


def test_a_scaled_adapter_has_the_norm_and_the_direction(
    tiny_model_directory: Path, tmp_path: Path
):
    base = load_model(tiny_model_directory)
    arm = write_trained(tmp_path / "source", tiny_model_directory, 5)
    update = find_update(tmp_path / "source", base, arm.subset)
    factor = write_scaled(update, 3.0, tmp_path / "scaled")
    scaled = find_update(tmp_path / "scaled", base, arm.subset)
    assert measure_norm(scaled) == pytest.approx(3.0, rel=1e-7)
    assert factor == pytest.approx(3.0 / measure_norm(update))
    names = list(list_linears(base))
    before, after = (
        subtract(merge(tiny_model_directory, tmp_path / name), base, names)
        for name in ("source", "scaled")
    )
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(other, factor * one, atol=1e-5)


def test_a_scaled_whole_model_moves_every_tensor_by_the_factor_and_loads_as_a_model(
    tiny_model_directory: Path, tmp_path: Path
):
    base, model = load_model(tiny_model_directory), shake(tiny_model_directory)
    write_model(tmp_path / "full", model)
    update = find_update(tmp_path / "full", base, WHOLE)
    factor = write_scaled(update, 0.5, tmp_path / "scaled")
    scaled = find_update(tmp_path / "scaled", base, WHOLE)
    assert measure_norm(scaled) == pytest.approx(0.5, rel=1e-6)
    before, after = (read_tensors(tmp_path / n / "model.safetensors") for n in ("full", "scaled"))
    for name, tensor in base.state_dict().items():
        moved = factor * (before[name] - tensor)
        torch.testing.assert_close(after[name] - tensor, moved, rtol=1e-4, atol=1e-6)
    norms = weigh_linears(base)
    whole, small = (measure_update(one, norms, 1) for one in (update, scaled))
    assert small.elsewhere == pytest.approx(whole.elsewhere, rel=1e-4)
    loaded = load_model(tmp_path / "scaled")
    read_weights(tmp_path / "scaled", model)
    for one, other in zip(loaded.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_nothing_cannot_be_scaled_to_a_norm(tiny_model_directory: Path, tmp_path: Path):
    base = load_model(tiny_model_directory)
    write_model(tmp_path / "full", base)
    update = find_update(tmp_path / "full", base, WHOLE)
    with pytest.raises(UserError, match="nothing was changed, so no norm can be given to it"):
        write_scaled(update, 1.0, tmp_path / "scaled")
    assert not (tmp_path / "scaled").exists()
    write_cut(update, 2, tmp_path / "cut", str(tiny_model_directory))
    assert measure_norm(find_update(tmp_path / "cut", base, WHOLE)) == 0.0
