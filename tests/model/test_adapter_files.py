import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.arms import Arm
from rankshift.errors import UserError
from rankshift.grid import ALL_PROJECTIONS, Scaling, Subset
from rankshift.model.adapter_files import CONFIG, WEIGHTS, read_adapter, write_adapter
from rankshift.model.adapters import AdapterShape, LockStepLinear, insert_adapters
from rankshift.model.loading import load_model
from rankshift.model.tensor_files import read_tensors, write_tensors

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft asks transformers
)


def make_arm(rank: int, alpha: float, scaling: Scaling) -> Arm:
    """Make an arm over all projections."""
    return Arm("lora", "task", None, rank, alpha, scaling, target_modules=ALL_PROJECTIONS)


RANKS = (1, 5, 40)  # the last is above every width
ARMS = [make_arm(rank, 12.0, "alpha/rank") for rank in RANKS]
ARMS += [make_arm(rank, 2.5, "alpha/sqrt(rank)") for rank in RANKS]


def insert(model: PreTrainedModel, arms: list[Arm], seed: int) -> list[LockStepLinear]:
    """Insert adapters that do something."""
    shapes = [AdapterShape(arm.rank or 0, arm.scale or 0.0, 0, arm.subset) for arm in arms]
    targets = {target: None for arm in arms for target in arm.target_modules}
    layers = insert_adapters(model, shapes, list(targets))
    generator = torch.Generator().manual_seed(seed)
    for layer in layers:
        layer.lora_B.data.normal_(std=0.05, generator=generator)
    return layers


@pytest.fixture
def token_ids() -> Tensor:
    """Draw 2 rows for every arm."""
    return torch.randint(0, 256, (12, 9), generator=torch.Generator().manual_seed(1))


def test_what_we_write_peft_loads_and_computes_the_same_logits(
    tiny_model_directory: Path, token_ids: Tensor, tmp_path: Path
):
    model = load_model(tiny_model_directory)
    base = model(token_ids).logits.chunk(len(ARMS))
    layers = insert(model, ARMS, seed=0)
    ours = model(token_ids).logits.chunk(len(ARMS))
    for index, (arm, rows) in enumerate(zip(ARMS, token_ids.chunk(len(ARMS)), strict=True)):
        folder = tmp_path / f"arm-{index}"
        write_adapter(folder, layers, index, arm, str(tiny_model_directory))
        loaded = PeftModel.from_pretrained(load_model(tiny_model_directory), str(folder))
        torch.testing.assert_close(ours[index], loaded(rows).logits, rtol=1e-5, atol=1e-5)
        assert (ours[index] - base[index]).abs().max() > 0.1


SUBSETS = [
    Subset(("q_proj", "v_proj")),
    Subset(layers=(1,)),
    Subset(("down_proj",), (0,)),
    Subset(ALL_PROJECTIONS, (0, 1)),
]


def test_peft_loads_adapters_of_every_subset_of_one_group_with_the_same_logits(
    tiny_model_directory: Path, tmp_path: Path
):
    arms = [
        replace(ARMS[2], rank=rank, target_modules=subset.target_modules, layers=subset.layers)
        for rank, subset in zip((3, 40, 2, 8), SUBSETS, strict=True)
    ]
    tokens = torch.randint(0, 256, (8, 9), generator=torch.Generator().manual_seed(1))
    model = load_model(tiny_model_directory)
    base = model(tokens).logits.chunk(4)
    layers = insert(model, arms, seed=0)
    ours = model(tokens).logits.chunk(4)
    for index, (arm, rows) in enumerate(zip(arms, tokens.chunk(4), strict=True)):
        folder = tmp_path / f"arm-{index}"
        write_adapter(folder, layers, index, arm, str(tiny_model_directory))
        loaded = PeftModel.from_pretrained(load_model(tiny_model_directory), str(folder))
        torch.testing.assert_close(ours[index], loaded(rows).logits, rtol=1e-5, atol=1e-5)
        assert (ours[index] - base[index]).abs().max() > 0.1
        written = {name.rpartition(".lora_")[0] for name in read_tensors(folder / WEIGHTS)}
        adapted = {n for n, m in loaded.named_modules() if hasattr(m, "lora_A")}
        assert written == adapted
        assert len(adapted) == (4, 7, 1, 14)[index]
        before = [flat.clone() for layer in layers for flat in factors(layer)]
        read_adapter(folder, layers, index)
        assert all(map(torch.equal, before, (flat for la in layers for flat in factors(la))))


def test_the_adapter_says_which_base_it_is_for(tiny_model: PreTrainedModel, tmp_path: Path):
    write_adapter(tmp_path, insert(tiny_model, ARMS[:1], seed=0), 0, ARMS[0], "somebody/model")
    config = LoraConfig.from_pretrained(str(tmp_path))
    assert config.base_model_name_or_path == "somebody/model"


@pytest.mark.parametrize("scaling", ["alpha/rank", "alpha/sqrt(rank)"])
@pytest.mark.parametrize("rank", [1, 6, 40])
def test_what_peft_writes_we_read_and_compute_the_same_logits(
    tiny_model_directory: Path, token_ids: Tensor, tmp_path: Path, rank: int, scaling: Scaling
):
    arm = Arm("lora", "task", rank=rank, alpha=3.0, scaling=scaling, target_modules=("v_proj",))
    config = LoraConfig(
        r=rank, lora_alpha=3, target_modules=["v_proj"], use_rslora=scaling == "alpha/sqrt(rank)"
    )
    theirs = get_peft_model(load_model(tiny_model_directory), config)
    generator = torch.Generator().manual_seed(rank)
    for name, parameter in theirs.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(std=0.5 / math.sqrt(rank), generator=generator)
    theirs.save_pretrained(str(tmp_path))
    model = load_model(tiny_model_directory)
    layers = insert(model, [arm, arm], seed=3)
    read_adapter(tmp_path, layers, 1)
    _, ours = model(torch.cat([token_ids, token_ids])).logits.chunk(2)
    torch.testing.assert_close(ours, theirs(token_ids).logits, rtol=1e-5, atol=1e-5)


def test_an_adapter_comes_back_bit_for_bit_and_touches_no_other_arm(
    tiny_model_directory: Path, tmp_path: Path
):
    written = insert(load_model(tiny_model_directory), ARMS, seed=0)
    write_adapter(tmp_path, written, 1, ARMS[1], "base")
    again = insert(load_model(tiny_model_directory), ARMS, seed=1)
    before = [factor.detach().clone() for layer in again for factor in factors(layer)]
    read_adapter(tmp_path, again, 1)
    rows = slice(written[0].segments[1].start, written[0].segments[1].stop)
    expected = [factor.detach() for layer in written for factor in factors(layer)]
    got = [factor.detach() for layer in again for factor in factors(layer)]
    for was, now, wanted in zip(before, got, expected, strict=True):
        was[rows] = wanted[rows]
        assert torch.equal(now, was)


def factors(layer: LockStepLinear) -> tuple[Tensor, Tensor]:
    """Give A and B of a layer."""
    return layer.lora_A, layer.lora_B


def test_a_folder_with_a_config_is_complete(tiny_model: PreTrainedModel, tmp_path: Path):
    layers = insert(tiny_model, ARMS[:1], seed=0)
    (tmp_path / WEIGHTS).mkdir()  # so that the weights cannot be written
    with pytest.raises(OSError, match=WEIGHTS):
        write_adapter(tmp_path, layers, 0, ARMS[0], "base")
    assert not (tmp_path / CONFIG).exists()
    (tmp_path / WEIGHTS).rmdir()
    write_adapter(tmp_path, layers, 0, ARMS[0], "base")
    assert json.loads((tmp_path / CONFIG).read_text())["r"] == 1
    assert len(read_tensors(tmp_path / WEIGHTS)) == 2 * len(layers)


def test_an_absent_adapter_is_refused(tiny_model: PreTrainedModel, tmp_path: Path):
    (tmp_path / "adapter_model.bin").write_bytes(b"a pickle")
    with pytest.raises(UserError) as caught:
        read_adapter(tmp_path, insert(tiny_model, ARMS[:1], seed=0), 0)
    assert str(caught.value) == (
        f"{tmp_path / WEIGHTS}: no such adapter; only safetensors are read"
    )


def test_an_adapter_of_another_base_is_refused(tiny_model: PreTrainedModel, tmp_path: Path):
    layers = insert(tiny_model, ARMS[:1], seed=0)
    write_adapter(tmp_path, layers[:-1], 0, ARMS[0], "base")
    with pytest.raises(UserError) as caught:
        read_adapter(tmp_path, layers, 0)
    assert str(caught.value) == (
        f"{tmp_path / WEIGHTS}: no base_model.model.model.layers.1.mlp.down_proj.lora_A.weight; "
        "the adapter is for other modules or another base"
    )


def test_an_adapter_of_another_rank_is_refused(tiny_model: PreTrainedModel, tmp_path: Path):
    layers = insert(tiny_model, ARMS[:2], seed=0)
    write_adapter(tmp_path, layers, 1, ARMS[1], "base")
    with pytest.raises(UserError) as caught:
        read_adapter(tmp_path, layers, 0)
    assert str(caught.value) == (
        f"{tmp_path / WEIGHTS}: base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight "
        "is [5, 16], the study asks for [1, 16]"
    )


def test_an_adapter_of_more_modules_is_refused(tiny_model: PreTrainedModel, tmp_path: Path):
    layers = insert(tiny_model, ARMS[:1], seed=0)
    write_adapter(tmp_path, layers, 0, ARMS[0], "base")
    tensors = read_tensors(tmp_path / WEIGHTS)
    write_tensors(tmp_path / WEIGHTS, tensors | {"lm_head.weight": torch.ones(2)})
    with pytest.raises(UserError) as caught:
        read_adapter(tmp_path, layers, 0)
    assert str(caught.value) == (
        f"{tmp_path / WEIGHTS}: lm_head.weight belongs to no target module of the study"
    )
