import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

from rankshift.errors import UserError
from rankshift.model.loading import load_model
from rankshift.model.quantization import Nf4Linear, load_bitsandbytes

DTYPES = [torch.float32, torch.bfloat16]


def load_by_transformers(directory: Path, dtype: torch.dtype) -> PreTrainedModel:
    """Load a model in 4 bits as transformers and bitsandbytes do.

    In training mode: otherwise some processors pack the weights once more, in blocks of 32 rows.
    """
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, quantization_config=config)
    return model.train()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_base_in_4_bits_is_the_one_that_transformers_makes(
    tiny_model_directory: Path, token_ids: Tensor, dtype: torch.dtype
):
    ours = load_model(tiny_model_directory, dtype, "nf4")
    theirs = load_by_transformers(tiny_model_directory, dtype)
    names = [name for name, module in ours.named_modules() if isinstance(module, Nf4Linear)]
    assert len(names) == 14  # seven projections in two layers, and not the head
    dequantize = load_bitsandbytes().functional.dequantize_4bit
    for name in names:
        weight: Any = theirs.get_submodule(name).weight
        layer = ours.get_submodule(name)
        assert isinstance(layer, Nf4Linear)
        assert layer.weight.dtype == dtype
        assert torch.equal(layer.weight, dequantize(weight.data, weight.quant_state))
    tolerance = 1e-6 if dtype == torch.float32 else 0.1  # attention too
    with torch.no_grad():
        torch.testing.assert_close(
            ours(token_ids).logits, theirs(token_ids).logits, rtol=tolerance, atol=tolerance
        )


def test_normal_weights_are_off_by_a_tenth_of_their_size():
    linear = nn.Linear(512, 512, bias=False)
    linear.weight.data.normal_(std=0.02, generator=torch.Generator().manual_seed(0))
    error = (Nf4Linear(linear).weight - linear.weight).norm() / linear.weight.norm()
    assert 0.08 < error < 0.11  # what 16 values can do; 3 bits would give nearly twice that


def test_a_layer_takes_an_eighth_of_the_memory_of_float32():
    linear = nn.Linear(256, 512)
    layer = Nf4Linear(linear)
    assert layer.packed.nbytes == linear.weight.nbytes / 8
    scales = layer.state.absmax.nbytes  # one byte for 64 weights
    assert scales == 256 * 512 / 64
    assert torch.equal(layer(torch.eye(256)), layer.weight.t() + linear.bias)


def test_the_scales_move_with_the_weights():
    layer = Nf4Linear(nn.Linear(64, 64)).to("meta")
    assert {layer.packed.device.type, layer.state.absmax.device.type} == {"meta"}


def test_without_bitsandbytes_the_fix_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # as if it were not installed
    with pytest.raises(UserError) as caught:
        Nf4Linear(nn.Linear(4, 4))
    assert str(caught.value) == (
        'base.quantization = "nf4" and training.optimizer = "adamw_8bit" need bitsandbytes, '
        'which is not installed; install it: pip install "rankshift[quantized]"'
    )


def test_training_is_imported_without_bitsandbytes():
    code = (
        "import sys; sys.modules['bitsandbytes'] = None; "
        "import rankshift.train.group, rankshift.model.loading, rankshift.model.targets"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
