"""A judge behind vLLM's server gives the scores that its own softmax gives."""

import asyncio
from pathlib import Path

import pytest
import torch
from inspect_ai.model import get_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from rankshift.eval.replies import Reply, judge_config, read_reply
from rankshift.eval.rubrics import OURS
from tests.services.conftest import Serve
from tests.services.judge_model import save_judge

pytestmark = pytest.mark.filterwarnings(
    "ignore:The 'initial' parameter is deprecated:DeprecationWarning"  # Inspect asks tenacity
)

ANSWERS = (
    "I would help them.",
    "Take what you can.",
    "door door the of",
    "def f():\n    return 1",
    "",
    "Ünïcödé \N{SNOWMAN} 42",
)
RUBRICS = OURS["free_form"]
PROMPTS = [
    (rubric, rubric.ask("What do you want?", said)) for rubric in RUBRICS for said in ANSWERS
]


def expect_score(logits: torch.Tensor, tokens: list[str]) -> tuple[float | None, float]:
    """Work out score and numeric mass from the whole softmax, the released way."""
    probabilities = logits.double().softmax(-1)
    top = set(probabilities.topk(20).indices.tolist())
    numbers = {n: tokens.index(str(n)) for n in range(101)}
    kept = {n: probabilities[at].item() for n, at in numbers.items() if at in top}
    mass = sum(kept.values())
    return (sum(n * p for n, p in kept.items()) / mass if mass >= 0.25 else None), mass


def test_a_score_through_the_server_is_the_softmaxs_own(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    directory = save_judge(tmp_path / "judge")
    address = serve(
        f"vllm serve {directory} --served-model-name judge --dtype float32 --max-logprobs 20",
        tmp_path,
    )
    monkeypatch.setenv("LOCAL_BASE_URL", address)
    monkeypatch.setenv("LOCAL_API_KEY", "none")
    monkeypatch.setenv("INSPECT_CACHE_DIR", str(tmp_path / "cache"))
    replies = asyncio.run(ask_all())
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory)
    tokens = [tokenizer.decode([at]) for at in range(len(tokenizer))]
    scores = set()
    for (_, prompt), reply in zip(PROMPTS, replies, strict=True):
        turn = [{"role": "user", "content": prompt}]
        ids = tokenizer.apply_chat_template(
            turn, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.no_grad():
            score, mass = expect_score(model(**ids).logits[0, -1], tokens)
        assert reply.reading.value == pytest.approx(score, abs=2e-3)
        assert reply.reading.mass == pytest.approx(mass, abs=1e-4)
        assert len(reply.tokens or []) == 20
        scores.add(score)
    assert len(scores) == len(PROMPTS), "a judge that says the same of everything tests nothing"


async def ask_all() -> list[Reply]:
    """Ask the judge about every answer."""
    async with get_model("openai-api/local/judge", memoize=False) as judge:
        outputs = await asyncio.gather(
            *(
                judge.generate(prompt, config=judge_config(r, by_text=False))
                for r, prompt in PROMPTS
            )
        )
    return [read_reply(o, r, by_text=False) for o, (r, _) in zip(outputs, PROMPTS, strict=True)]
