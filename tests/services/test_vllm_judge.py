"""A judge behind vLLM's server, asked by our pipeline, gives the scores of its own softmax."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rankshift.eval.rubrics import OURS
from rankshift.executor.rejudging import SILENT, judge_run
from rankshift.records import AnswerRecord, VerdictRecord, read_records
from rankshift.runs import StudyRun
from tests.services.conftest import Serve
from tests.services.judge_model import save_judge

JUDGE = "openai-api/local/judge"

Score = Callable[[str], float | None]


def make_scorer(directory: Path) -> Score:
    """Give a function from a prompt to its score, worked out from the whole softmax.

    The mean over the numbers among the 20 likeliest tokens, none where they have under a quarter.
    """
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model: Any = AutoModelForCausalLM.from_pretrained(directory)
    vocabulary = [tokenizer.decode([token]) for token in range(len(tokenizer))]
    values = {vocabulary.index(str(number)): number for number in range(101)}

    def score(prompt: str) -> float | None:
        turn = [{"role": "user", "content": prompt}]
        tokens = tokenizer.apply_chat_template(
            turn, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.no_grad():
            top = model(**tokens).logits[0, -1].double().softmax(-1).topk(20)
        likeliest = zip(top.indices.tolist(), top.values.tolist(), strict=True)
        kept = [(values[token], p) for token, p in likeliest if token in values]
        mass = sum(p for _, p in kept)
        return sum(number * p for number, p in kept) / mass if mass >= 0.25 else None

    return score


def test_verdicts_through_the_server_are_the_softmaxs_own(
    served_run: StudyRun, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    directory = save_judge(tmp_path / "judge")
    flags = "--served-model-name judge --dtype float32 --max-logprobs 20"
    address = serve(f"vllm serve {directory} {flags}", tmp_path)
    monkeypatch.setenv("LOCAL_BASE_URL", address)
    monkeypatch.setenv("LOCAL_API_KEY", "none")
    run = Path(shutil.copytree(served_run.directory, tmp_path / "run"))
    judge_run(run, [JUDGE], None, again_failed=False, watch=SILENT)
    score, seen = make_scorer(directory), set()
    sheets = sorted(run.glob("arms/*/evaluations/*/answers/*.jsonl"))
    assert len(sheets) == 2, "the base and one adapter"
    for sheet in sheets:
        verdicts = sheet.parents[1] / "verdicts" / "openai-api%2Flocal%2Fjudge" / sheet.name
        answers = read_records(sheet, AnswerRecord)
        said = read_records(verdicts, VerdictRecord)
        for answer, verdict in zip(answers, said, strict=True):
            expected = [score(r.ask(answer.prompt, answer.answer)) for r in OURS["free_form"]]
            assert [verdict.alignment, verdict.coherence] == pytest.approx(expected, abs=2e-3)
            seen.add(verdict.alignment)
    assert len(seen) > 20, "a judge that says the same of everything tests nothing"
    assert None not in seen
