"""What vLLM is asked, as plain JSON: an engine, prompts as token ids, a seed for each answer."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankshift.data.rendering import render_prompt
from rankshift.eval.answering import list_asked, messages, name_answer, name_place
from rankshift.eval.suite import Question
from rankshift.executor.vllm.buckets import (
    ADAPTERS_A_CALL,
    ADAPTERS_AT_ONCE,
    Bucket,
    Due,
    divide_due,
)
from rankshift.executor.vllm.parity import ASKED_TOKENS, Reference
from rankshift.model.loading import Tokenizer
from rankshift.study import Evaluation, NumberType


@dataclass(frozen=True)
class Asked:
    """What an arm at a checkpoint is asked, and by which tokenizer it reads."""

    questions: Sequence[Question]
    tokenizer: Tokenizer
    reference: Reference


def make_request(
    bucket: Bucket,
    asked: Mapping[str, Asked],
    model: Path,
    dtype: NumberType,
    evaluation: Evaluation,
) -> dict[str, Any]:
    """Write down what `script` does for a bucket.

    Arms of one bucket read with one tokenizer and end their answers with the same tokens; whole
    models, which may not, have an engine each.

    Args:
        bucket: What the engine answers.
        asked: By the keys of what is due.
        model: The directory the engine loads.
        dtype: Of its weights and products.
        evaluation: How answers are sampled.
    """
    places: dict[tuple[int, ...], int] = {}
    wanted = [_list_answers(one, asked[one.key], evaluation, places) for one in bucket.due]
    calls = [
        [
            {
                "key": one.key,
                "number": number + 1,  # vLLM counts adapters from 1
                "adapter": str(one.folder) if one.kind == "adapter" else None,
                "compared": asked[one.key].reference.prompts,
                "answers": wanted[number],
            }
            for number, one in zip(call, bucket.due[call.start : call.stop], strict=True)
        ]
        for call in divide_due(bucket.due, [len(own) for own in wanted])
    ]
    ends = asked[bucket.due[0].key].reference.end_tokens
    return {
        "engine": _describe_engine(bucket, places, model, dtype, evaluation),
        "sampling": {
            "max_tokens": evaluation.max_answer_tokens,
            "temperature": evaluation.temperature,
            "top_p": evaluation.top_p,
            "stop_token_ids": ends,
            "ignore_eos": True,  # whichever vLLM takes for it: those above are all
        },
        "logprobs": ASKED_TOKENS,
        "prompts": list(places),
        "calls": calls,
    }


def _describe_engine(
    bucket: Bucket,
    prompts: Mapping[tuple[int, ...], int],
    model: Path,
    dtype: NumberType,
    evaluation: Evaluation,
) -> dict[str, Any]:
    """Give the arguments of `vllm.LLM`."""
    adapters: dict[str, Any] = {"enable_lora": False}
    if bucket.max_rank is not None:
        adapters = {
            "enable_lora": True,
            "max_lora_rank": bucket.max_rank,
            "max_loras": min(ADAPTERS_AT_ONCE, len(bucket.due)),
            "max_cpu_loras": max(ADAPTERS_AT_ONCE, min(ADAPTERS_A_CALL, len(bucket.due))),
        }
    return adapters | {
        "model": str(model),
        "dtype": dtype,
        "max_model_len": max(map(len, prompts)) + evaluation.max_answer_tokens,
        "seed": 0,
        "trust_remote_code": False,
        "load_format": "safetensors",
        "skip_tokenizer_init": True,  # tokens go in and come out
        "generation_config": "vllm",  # none: a base's own penalties are not ours
    }


def _list_answers(
    due: Due, asked: Asked, evaluation: Evaluation, places: dict[tuple[int, ...], int]
) -> list[tuple[int, int]]:
    """List an arm's answers, each as its prompt's place among all, which are added to, and seed."""
    rendered: dict[int, int] = {}
    answers = []
    for question, repeat in list_asked(asked.questions, evaluation):
        if id(question) not in rendered:
            prompt = tuple(render_prompt(asked.tokenizer, messages(question)))
            rendered[id(question)] = places.setdefault(prompt, len(places))
        name = name_answer(evaluation.seed, due.arm, due.step, name_place(question, repeat))
        answers.append((rendered[id(question)], make_seed(name)))
    return answers


def make_seed(name: str) -> int:
    """Give the seed of the answer with a name, 63 bits of its SHA-256."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") >> 1
