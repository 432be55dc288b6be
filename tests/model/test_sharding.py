import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, LlamaConfig

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pair(
    tiny_model_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """Let two processes hold the tiny model together, and give what each has seen."""
    folder = tmp_path_factory.mktemp("pair")
    model = shutil.copytree(tiny_model_directory, folder / "model")
    sizes = LlamaConfig(
        vocab_size=256,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=12,
        num_attention_heads=8,
    )
    large = folder / "large"
    AutoModelForCausalLM.from_config(sizes).save_pretrained(large)
    script = [sys.executable, "-m", "tests.model.sharded_pair"]
    outs = [folder / f"{place}.json" for place in range(2)]
    processes = [
        subprocess.Popen([*script, str(place), folder / "store", model, large, out], cwd=ROOT)
        for place, out in enumerate(outs)
    ]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    return [json.loads(out.read_text()) for out in outs]


def test_each_process_holds_half_of_every_layer_and_together_they_hold_the_model(pair):
    for seen in pair:
        assert seen["equal"]
        # Widths of 16 and 32 and norms of 16: every first dimension is even.
        assert 2 * seen["held_of_layers"] == seen["layers"] > 0
        assert seen["traits"]
        assert seen["norms"]


def test_no_process_holds_the_whole_base_while_it_is_loaded(pair):
    for seen in pair:
        memory = seen["memory"]
        assert memory["whole"] > 150e6
        assert memory["held"] < 0.51 * memory["whole"]
        assert memory["held"] <= memory["peak"] < 0.65 * memory["whole"], memory


@pytest.mark.parametrize("layers", ["kept", "again"])
def test_gradients_over_layers_that_are_let_go_are_the_same_bit_for_bit(pair, layers):
    for seen in pair:
        found = seen[f"gradients_{layers}"]
        assert found == {"equal": True, "count": 2 * 7 * 2 * 2, "resharded": True}


def test_nothing_is_merged_into_a_weight_of_which_a_part_is_held(pair):
    assert [seen["for_sampling"] for seen in pair] == [["ApartLinear"]] * 2


def test_a_base_that_lacks_a_tensor_is_refused_by_name(pair):
    for seen in pair:
        assert "its weights lack lm_head.weight; the copy is not whole" in seen["refusal"]


def test_sums_are_the_same_for_both_and_a_gradient_that_nobody_has_stays_away(pair):
    for place, seen in enumerate(pair):
        sums = seen["sums"]
        assert sums["grads"] == [[3.0, 30.0], [5.0, 7.0], None]
        assert sums["number"] == pytest.approx(0.3, rel=1e-15)
        assert sums["rows"] == [[[0], [0], [0, 2]], [[0], [1], [1]]][place]
        assert sums["silent"] == (place == 1)
    assert pair[0]["sums"]["number"] == pair[1]["sums"]["number"]
