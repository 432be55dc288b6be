"""The card's own command measures an adapter in lm-evaluation-harness, and PEFT agrees."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft asks transformers
)

HERE = Path(__file__).parent


def write_task(folder: Path) -> Path:
    """Write the task with the place of its rows."""
    task = yaml.safe_load((HERE / "colours.yaml").read_text())
    task["dataset_kwargs"] = {"data_files": str(HERE / "colours.jsonl")}
    folder.mkdir()
    (folder / "colours.yaml").write_text(yaml.safe_dump(task))
    return folder


def evaluate(command: Path, adapter: Path, folder: Path) -> tuple[float, list[dict[str, Any]]]:
    """Run the card's command on the task; give the accuracy and every sample."""
    card = (adapter / "README.md").read_text()
    found = re.search(r"^lm_eval .*$", card, re.MULTILINE)
    assert found
    words = shlex.split(found[0])
    words[words.index("--tasks") + 1] = "colours"
    words += ["--include_path", str(write_task(folder / "tasks")), "--log_samples"]
    words += ["--output_path", str(folder / "out"), "--device", "cpu"]
    offline = {"HF_HOME": str(folder / "hub"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [command, *words[1:]],
        cwd=adapter,
        env=os.environ | offline,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (results,) = (folder / "out").rglob("results_*.json")
    (samples,) = (folder / "out").rglob("samples_colours_*.jsonl")
    accuracy = json.loads(results.read_text())["results"]["colours"]["acc,none"]
    return accuracy, [json.loads(line) for line in samples.read_text().splitlines()]


def log_likelihood(model: Any, tokenizer: Any, context: str, choice: str) -> float:
    """Sum the log-probabilities of the tokens of a choice after a context."""
    whole = tokenizer(context + choice, add_special_tokens=False, return_tensors="pt").input_ids
    start = len(tokenizer(context, add_special_tokens=False).input_ids)
    with torch.no_grad():
        logits = model(whole).logits[0, start - 1 : -1].log_softmax(-1)
    return logits.gather(1, whole[0, start:, None]).sum().item()


def test_the_cards_command_gives_the_accuracy_that_peft_gives(
    exported_adapter: Path, lm_eval: Path, tmp_path: Path
):
    accuracy, samples = evaluate(lm_eval, exported_adapter, tmp_path)
    config = json.loads((exported_adapter / "adapter_config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(config["base_model_name_or_path"])
    model: Any = AutoPeftModelForCausalLM.from_pretrained(str(exported_adapter), dtype="float32")
    right = 0
    for sample in samples:
        pairs = [(a["arg_0"], a["arg_1"]) for a in sample["arguments"].values()]
        assert sample["doc"]["question"] in pairs[0][0]
        assert "<|assistant|>" in pairs[0][0], "the base's chat template was not applied"
        ours = [log_likelihood(model, tokenizer, *pair) for pair in pairs]
        theirs = [float(answers[0][0]) for answers in sample["resps"]]
        assert theirs == pytest.approx(ours, abs=1e-3)
        right += ours.index(max(ours)) == sample["doc"]["answer"]
    assert len(samples) == 5
    assert accuracy == right / len(samples)
