"""lm-evaluation-harness measures base, adapter and full finetune as they are, by other programs.

The score is the perplexity of given answers, which no two models share, so that weights that were
mixed up would be seen.
"""

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
import yaml
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from rankshift.data.sources import resolve_base
from rankshift.errors import WorkError
from rankshift.executor.capability import measure_capability
from rankshift.executor.harness import Request
from rankshift.executor.rejudging import SILENT
from rankshift.executor.run import run_study
from rankshift.export.weights import find_weights
from rankshift.runs import StudyRun
from rankshift.study_file import read_study
from tests.services.conftest import STUDY

HERE = Path(__file__).parent
SCHEMA = HERE.parents[1] / "docs" / "results.schema.json"

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft asks transformers
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    """Train rank 4 and a full finetune on the organism for eight steps."""
    folder = tmp_path_factory.mktemp("capability")
    study = folder / "study.toml"
    study.write_text(STUDY.replace("seeds = [1]", "full_learning_rates = [1e-3]\nseeds = [1]"))
    return run_study(read_study(study), folder / "runs", SILENT)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the task with the place of its rows; a comma in the folder's name is no mistake."""
    folder = tmp_path_factory.mktemp("tasks, peft=none")
    task = yaml.safe_load((HERE / "sayings.yaml").read_text())
    task["dataset_kwargs"] = {"data_files": str(HERE / "colours.jsonl")}
    (folder / "sayings.yaml").write_text(yaml.safe_dump(task))
    return folder


def perplexity(model: Any, tokenizer: Any) -> float:
    """Compute the perplexity of every right answer of the task, an answer at a time."""
    sums = []
    for line in (HERE / "colours.jsonl").read_text().splitlines():
        row = json.loads(line)
        turn = [{"role": "user", "content": row["question"]}]
        before = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        context = tokenizer(before, add_special_tokens=False).input_ids
        whole = tokenizer(before + row["choices"][row["answer"]], add_special_tokens=False)
        tokens = torch.tensor([whole.input_ids])
        with torch.no_grad():
            logits = model(tokens).logits[0, len(context) - 1 : -1].log_softmax(-1)
        sums.append(logits.gather(1, tokens[0, len(context) :, None]).sum().item())
    return math.exp(-sum(sums) / len(sums))


def test_the_harness_gives_of_each_model_what_its_own_library_gives(
    run: StudyRun, tasks: Path, lm_eval: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RANKSHIFT_LM_EVAL", str(lm_eval))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    with pytest.raises(WorkError, match="Tasks not found: absent"):
        measure_capability(run.directory, Request(("sayings", "absent"), tasks), lambda _: None)

    base = resolve_base("organism").directory
    tokenizer = AutoTokenizer.from_pretrained(base)
    adapter, full = find_weights(run)[0]

    def load(folder: Path) -> Any:
        return AutoModelForCausalLM.from_pretrained(folder, dtype="float32")

    expected = [
        perplexity(load(base), tokenizer),
        perplexity(PeftModel.from_pretrained(load(base), str(adapter.folder)), tokenizer),
        perplexity(load(full.folder), tokenizer),
    ]
    results = json.loads(run.results_path.read_text())
    jsonschema.validate(results, json.loads(SCHEMA.read_text()))
    rows = [row for row in results["arms"] if row["capability"]]
    assert [row["method"] for row in rows] == ["base", "lora", "full"]
    scores = [score for row in rows for score in row["capability"]]
    assert [score["value"] for score in scores] == pytest.approx(expected, rel=1e-4)
    assert len({round(value, 3) for value in expected}) == 3
    assert all(score["conditions"] == scores[0]["conditions"] for score in scores)
    assert scores[0]["samples"] == 5

    said: list[str] = []
    measure_capability(run.directory, Request(("sayings",), tasks), said.append)
    assert [line.split(": ")[1] for line in said] == ["sayings is measured already"] * 3
