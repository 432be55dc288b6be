import json
from pathlib import Path

import pytest
import torch

from rankshift.data.sources import resolve_base
from rankshift.errors import UserError
from rankshift.executor.given import GivenPart, find_given
from rankshift.model.loading import load_skeleton
from rankshift.model.tensor_files import read_tensors, write_tensors
from rankshift.study import Base, Evaluation, GivenModel, Study
from tests.given_models import WARNING, save_adapter, save_merged

pytestmark = pytest.mark.filterwarnings(WARNING)


def find(base: Path, path: Path) -> GivenPart:
    """Find one given model of a study."""
    study = Study(
        name="given",
        base=Base(str(base)),
        models=(GivenModel("theirs", str(path)),),
        evaluation=Evaluation(("questions.yaml",)),
    )
    (part,) = find_given(study, resolve_base(str(base)), load_skeleton(base))
    return part


def test_an_adapter_is_asked_with_the_bases_tokenizer_and_told_by_its_files(
    tiny_model_directory: Path, tmp_path: Path
):
    folder = save_adapter(tmp_path / "a", tiny_model_directory, use_rslora=True)
    (folder / "tokenizer.json").write_text("not read")
    part = find(tiny_model_directory, folder)
    assert part.tokenizer == tiny_model_directory
    facts = part.facts
    assert (facts.name, facts.method, facts.rank, facts.alpha) == ("theirs", "adapter", 4, 8.0)
    assert facts.scaling == "alpha/sqrt(rank)"
    assert part.warning is None


def test_a_whole_model_without_a_tokenizer_takes_the_bases_if_it_has_as_many_tokens(
    tiny_model_directory: Path, tmp_path: Path
):
    bare = save_merged(tmp_path / "bare", tiny_model_directory, tokenizer=False)
    own = save_merged(tmp_path / "own", tiny_model_directory)
    assert find(tiny_model_directory, bare).tokenizer == tiny_model_directory
    assert find(tiny_model_directory, own).tokenizer == own
    config = json.loads((bare / "config.json").read_text())
    (bare / "config.json").write_text(json.dumps(config | {"vocab_size": 300}))
    tensors = read_tensors(bare / "model.safetensors")
    grown = {n: torch.ones(300, 16) for n in ("model.embed_tokens.weight", "lm_head.weight")}
    write_tensors(bare / "model.safetensors", tensors | grown)
    with pytest.raises(UserError, match=r"brings no tokenizer, and has 300 tokens where the base"):
        find(tiny_model_directory, bare)


def test_a_whole_model_whose_weights_are_not_its_configs_is_refused(
    tiny_model_directory: Path, tmp_path: Path
):
    folder = save_merged(tmp_path / "m", tiny_model_directory)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    with pytest.raises(UserError, match=r"is \[16, 32\], its config.json says \[16, 48\]; one of"):
        find(tiny_model_directory, folder)
    quantized = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    (folder / "config.json").write_text(json.dumps(config | quantized))
    with pytest.raises(UserError, match="its weights are quantized; give the model as it was"):
        find(tiny_model_directory, folder)


def test_code_of_a_model_is_never_run(tiny_model_directory: Path, tmp_path: Path):
    folder = save_merged(tmp_path / "m", tiny_model_directory)
    config = json.loads((folder / "config.json").read_text())
    remote = {"auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(config | remote | {"model_type": "own"}))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(UserError, match="not a causal language model"):
        find(tiny_model_directory, folder)
    assert not (tmp_path / "ran").exists()
