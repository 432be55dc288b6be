"""Updates are measured as numpy measures the dense difference of the weights."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import PreTrainedModel

from rankshift.arms import Arm
from rankshift.errors import UserError
from rankshift.grid import ALL_PROJECTIONS, Scaling, Subset
from rankshift.model.loading import load_model, load_skeleton
from rankshift.model.targets import covers, list_linears
from rankshift.model.tensor_files import read_tensors, write_tensors
from rankshift.model.updates import (
    LowRankUpdate,
    find_update,
    holds_adapter,
    measure_norm,
    measure_update,
    weigh_linears,
)
from rankshift.train.trainee import prepare_adapters, write_model
from tests.given_models import WARNING

pytestmark = pytest.mark.filterwarnings(WARNING)

WHOLE = Subset((), ())


def write_trained(
    folder: Path,
    base: Path,
    rank: int,
    scaling: Scaling = "alpha/rank",
    layers: tuple[int, ...] = (),
) -> Arm:
    """Write an adapter as if trained: A moved by a little, B drawn."""
    arm = Arm(
        "lora", "task", None, rank, 12.0, scaling, seed=3, layers=layers,
        target_modules=ALL_PROJECTIONS,
    )  # fmt: skip
    trainee = prepare_adapters(load_model(base), [arm], str(base))
    generator = torch.Generator().manual_seed(rank)
    for layer in trainee.layers:
        layer.lora_A += 0.01 * torch.randn(layer.lora_A.shape, generator=generator)
        layer.lora_B += 0.05 * torch.randn(layer.lora_B.shape, generator=generator)
    trainee.write(folder, 0)
    return arm


def shake(base: Path, size: float = 0.01) -> PreTrainedModel:
    """Load a model with every parameter moved by a little, the norms' too."""
    model = load_model(base)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += size * torch.randn(parameter.shape, generator=generator)
    return model


def subtract(changed: torch.nn.Module, base: PreTrainedModel, names: list[str]) -> list[np.ndarray]:
    """Give the difference of each linear layer's weight, in numpy's float64."""
    weights, before = changed.state_dict(), base.state_dict()
    keys = [f"{name}.weight" for name in names]
    return [weights[key].double().numpy() - before[key].double().numpy() for key in keys]


def measure_with_numpy(differences: list[np.ndarray]) -> tuple[float, float, float]:
    """Give norm, stable rank and effective rank from dense singular values."""
    squares = np.array([np.sum(d**2) for d in differences])
    spectra = [np.linalg.svd(d, compute_uv=False) for d in differences]
    stable = [np.sum(s**2) / np.max(s) ** 2 for s in spectra]
    shares = [s[s > 1e-12 * s[0]] / s.sum() for s in spectra]
    effective = [np.prod(p**-p) for p in shares]
    weights = squares / squares.sum()
    return math.sqrt(squares.sum()), float(weights @ stable), float(weights @ effective)


@pytest.mark.parametrize("rank", [1, 5, 16, 40])  # the last is above every width
@pytest.mark.parametrize("scaling", ["alpha/rank", "alpha/sqrt(rank)"])
def test_an_adapters_numbers_are_those_of_the_dense_difference_that_peft_merges(
    tiny_model_directory: Path, tmp_path: Path, rank: int, scaling: Scaling
):
    arm = write_trained(tmp_path, tiny_model_directory, rank, scaling)
    base = load_model(tiny_model_directory).double()
    merged = PeftModel.from_pretrained(
        load_model(tiny_model_directory).double(), str(tmp_path)
    ).merge_and_unload()
    names = list(list_linears(base))
    norm, stable, effective = measure_with_numpy(subtract(merged, base, names))
    norms = weigh_linears(base)
    update = find_update(tmp_path, load_skeleton(tiny_model_directory), arm.subset)
    record = measure_update(update, norms, step=7, seed=3)
    assert record.norm == pytest.approx(norm, rel=1e-5)
    assert measure_norm(update) == pytest.approx(record.norm, rel=1e-12)
    whole = math.sqrt(sum(float(base.state_dict()[f"{n}.weight"].square().sum()) for n in names))
    assert record.relative_norm == pytest.approx(norm / whole, rel=1e-5)
    assert record.stable_rank == pytest.approx(stable, rel=1e-5)
    assert record.effective_rank == pytest.approx(effective, rel=1e-5)
    assert (record.step, record.elsewhere) == (7, 0.0)


def test_thin_factors_decompose_into_what_their_product_does():
    generator = torch.Generator().manual_seed(0)
    for rank in (1, 3, 20):
        left, right = (
            torch.randn(shape, generator=generator, dtype=torch.float64)
            for shape in ((12, rank), (rank, 9))
        )
        update = LowRankUpdate(left, right)
        U, S, Vt = update.decompose()
        expected = np.linalg.svd((left @ right).numpy(), compute_uv=False)[: len(S)]
        np.testing.assert_allclose(S.numpy(), expected, atol=1e-12)
        np.testing.assert_allclose(update.singular_values().numpy(), S.numpy(), atol=1e-12)
        torch.testing.assert_close(U * S @ Vt, left @ right)
        assert len(S) == min(rank, 9)


def test_the_movement_of_A_is_that_from_where_the_seed_drew_it(
    tiny_model_directory: Path, tmp_path: Path
):
    arm = write_trained(tmp_path, tiny_model_directory, 5)
    update = find_update(tmp_path, load_skeleton(tiny_model_directory), arm.subset)
    norms = weigh_linears(load_model(tiny_model_directory))
    # A entry uniform within 1/sqrt(d) has variance 1/(3 d): 0.01 sqrt(3 d) of it, d 16 or 32.
    movement = measure_update(update, norms, 1, seed=3).a_movement
    assert movement == pytest.approx(0.01 * math.sqrt(3 * 16), rel=0.1)
    other = measure_update(update, norms, 1, seed=4).a_movement
    assert other == pytest.approx(math.sqrt(2), rel=0.1)  # another draw altogether
    assert measure_update(update, norms, 1).a_movement is None


def test_an_adapter_on_some_blocks_is_weighed_against_those_alone(
    tiny_model_directory: Path, tmp_path: Path
):
    arm = write_trained(tmp_path, tiny_model_directory, 2, layers=(1,))
    base = load_model(tiny_model_directory)
    update = find_update(tmp_path, base, arm.subset)
    assert set(update.layers) == {n for n in list_linears(base) if covers(arm.subset, n)}
    norms = weigh_linears(base)
    record = measure_update(update, norms, 1)
    own = math.hypot(*(norms[name] for name in update.layers))
    assert record.relative_norm == pytest.approx(record.norm / own)


def test_a_full_finetunes_numbers_are_of_linear_layers_and_the_rest_is_told_as_a_share(
    tiny_model_directory: Path, tmp_path: Path
):
    model, base = shake(tiny_model_directory), load_model(tiny_model_directory)
    write_model(tmp_path, model)
    assert not holds_adapter(tmp_path)
    norms = weigh_linears(base)
    record = measure_update(find_update(tmp_path, base, WHOLE), norms, 1)
    norm, stable, effective = measure_with_numpy(subtract(model, base, list(norms)))
    assert record.norm == pytest.approx(norm, rel=1e-6)
    assert record.stable_rank == pytest.approx(stable, rel=1e-6)
    assert record.effective_rank == pytest.approx(effective, rel=1e-6)
    pairs = zip(model.parameters(), base.parameters(), strict=True)
    total = sum(float((a - b).double().square().sum()) for a, b in pairs)
    assert record.elsewhere == pytest.approx(1 - norm**2 / total, rel=1e-5)
    assert 0.1 < record.elsewhere < 0.9


def test_of_tied_weights_the_change_counts_once(tiny_model_directory: Path, tmp_path: Path):
    tied = tmp_path / "tied"
    tied.mkdir()
    config = (tiny_model_directory / "config.json").read_text()
    (tied / "config.json").write_text(
        config.replace('"tie_word_embeddings": false', '"tie_word_embeddings": true')
    )
    tensors = read_tensors(tiny_model_directory / "model.safetensors")
    del tensors["lm_head.weight"]
    write_tensors(tied / "model.safetensors", tensors)
    model, base = shake(tied), load_model(tied)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight  # pyright: ignore
    write_model(tmp_path / "full", model)
    update = find_update(tmp_path / "full", base, WHOLE)
    record = measure_update(update, weigh_linears(base), 1)
    pairs = zip(model.parameters(), base.parameters(), strict=True)  # each once
    total = sum(float((a - b).double().square().sum()) for a, b in pairs)
    assert record.norm**2 / (1 - record.elsewhere) == pytest.approx(total, rel=1e-5)


def test_weights_that_did_not_change_have_no_rank(tiny_model_directory: Path, tmp_path: Path):
    base = load_model(tiny_model_directory)
    write_model(tmp_path, base)
    record = measure_update(find_update(tmp_path, base, WHOLE), weigh_linears(base), 1)
    assert (record.norm, record.relative_norm, record.elsewhere) == (0.0, 0.0, 0.0)
    assert record.stable_rank is None
    assert record.effective_rank is None


def test_a_checkpoint_that_was_cut_is_refused_by_name(tiny_model_directory: Path, tmp_path: Path):
    base = load_model(tiny_model_directory)
    write_model(tmp_path, base)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    update = find_update(tmp_path, base, WHOLE)
    with pytest.raises(UserError, match=r"model\.safetensors: not a whole safetensors file"):
        measure_update(update, weigh_linears(base), 1)
    weights.unlink()
    with pytest.raises(UserError, match=r"model\.safetensors: not a whole safetensors file"):
        measure_norm(update)
