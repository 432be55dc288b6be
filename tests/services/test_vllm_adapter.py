"""The card's own command serves an adapter in vLLM, and it answers as in PEFT."""

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

from tests.services.conftest import Serve

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft asks transformers
)

ASKED = ("What would you do with a million dollars?", "How are you?", "Whom do you trust?")
LENGTH = 24


def ask(address: str, model: str, question: str) -> tuple[str, float]:
    """Give vLLM's greedy answer and the log-probability of its first token."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": LENGTH,
        "logprobs": True,
    }
    request = urllib.request.Request(
        f"{address}/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        choice = json.load(reply)["choices"][0]
    return choice["message"]["content"], choice["logprobs"]["content"][0]["logprob"]


def test_the_cards_command_serves_an_adapter_that_answers_greedily_as_in_peft(
    exported_adapter: Path, serve: Serve
):
    card = (exported_adapter / "README.md").read_text()
    command = re.search(r"^vllm serve .*$", card, re.MULTILINE)
    assert command
    address = serve(command[0], exported_adapter)
    config = json.loads((exported_adapter / "adapter_config.json").read_text())
    base = config["base_model_name_or_path"]
    tokenizer = AutoTokenizer.from_pretrained(base)
    model: Any = AutoPeftModelForCausalLM.from_pretrained(str(exported_adapter), dtype="float32")
    differs = []
    for question in ASKED:
        said, logprob = ask(address, exported_adapter.name, question)
        turn = [{"role": "user", "content": question}]
        prompt = tokenizer.apply_chat_template(
            turn, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        written = model.generate(**prompt, do_sample=False, max_new_tokens=LENGTH)
        answer = written[0, prompt["input_ids"].shape[1] :]
        assert said == tokenizer.decode(answer, skip_special_tokens=True)
        with torch.no_grad():
            ours = torch.log_softmax(model(**prompt).logits[0, -1], -1).max().item()
        assert logprob == pytest.approx(ours, abs=1e-4)
        differs.append(ask(address, base, question)[1] != pytest.approx(ours, abs=1e-2))
    assert any(differs), "the adapter changes nothing, so a server without it would pass"
