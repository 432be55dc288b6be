"""Answer in vLLM; run by the Python of vLLM's environment, with nothing else of ours beside it.

    python script.py request.json

It imports the standard library and vLLM alone. What it finds goes to standard output, one JSON
object a line: `ready` when the engine stands, then for each asked key the log-probabilities of
first tokens, of the arm and of the engine's model alone, and the answers as token ids. What vLLM
prints goes to standard error. It ends when standard input closes: with the process that asked.
"""

import importlib
import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import monotonic, process_time
from typing import Any, TextIO

Tops = dict[str, list[list[Any]]]
"""`tokens` and `logprobs`, a list for each prompt."""

TOKENS_A_STEP = 1024
"""On a CPU, where each token of a step takes a copy of its adapter's factors: of vLLM's usual 4,096
or more those of rank 512 would not fit into memory."""


def main(path: str) -> None:
    """Do what a request file asks."""
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    request = json.loads(Path(path).read_text(encoding="utf-8"))
    for message in answer(request, importlib.import_module("vllm")):
        tell(lines, message)
    os._exit(0)  # taking an engine apart takes seconds, and can fail where nothing is lost


def _end_with_parent() -> None:
    while os.read(0, 2**10):  # not through a buffer, whose lock would be held at the end
        continue
    os._exit(3)


def tell(lines: TextIO, message: Mapping[str, Any]) -> None:
    """Write one line."""
    lines.write(json.dumps(message) + "\n")
    lines.flush()


def answer(request: Mapping[str, Any], vllm: Any) -> Iterator[dict[str, Any]]:
    """Yield the messages of a request, see `request`."""
    began = monotonic()
    is_cpu = importlib.import_module("vllm.platforms").current_platform.is_cpu()
    engine = vllm.LLM(**request["engine"], **(_suit_cpu(request["engine"]) if is_cpu else {}))
    yield {
        "ready": monotonic() - began,
        "versions": _list_versions(),
        "cpu": is_cpu,
        "core_seconds": process_time(),
    }
    for call in request["calls"]:
        adapters = [_load(asked) for asked in call]
        # In calls of their own: in a batch with adapters, a request without one is given one's
        # answer on a CPU (vLLM 0.32.0, pull request 48421).
        bases = _weigh(vllm, engine, request["logprobs"], call, [None] * len(call))
        arms = _weigh(vllm, engine, request["logprobs"], call, adapters)
        answers = _generate(vllm, engine, request, call, adapters)
        for asked, arm, base, own in zip(call, arms, bases, answers, strict=True):
            told = {"key": asked["key"], "arm": arm, "base": base, "answers": own}
            yield told | {"core_seconds": process_time()}


def _suit_cpu(engine: Mapping[str, Any]) -> dict[str, Any]:
    """Give what else an engine on a CPU is told.

    A graph is compiled there for longer than most studies answer. A prompt that is read in two
    steps would rewind its seed, which torch's generator of a CPU cannot: it is read in one.
    """
    return {
        "enforce_eager": True,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(TOKENS_A_STEP, engine["max_model_len"]),
    }


def _list_versions() -> dict[str, str]:
    found = {}
    for name in ("vllm", "torch", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _load(asked: Mapping[str, Any]) -> Any:
    """Name an adapter for the engine, which reads its files when it is first needed."""
    if asked["adapter"] is None:
        return None
    requests = importlib.import_module("vllm.lora.request")
    return requests.LoRARequest(asked["key"], asked["number"], asked["adapter"])


def _weigh(
    vllm: Any,
    engine: Any,
    number: int,
    call: Sequence[Mapping[str, Any]],
    adapters: Sequence[Any],
) -> list[Tops]:
    """Give the likeliest first tokens after each prompt to compare, adapter by adapter."""
    how = vllm.SamplingParams(max_tokens=1, temperature=0.0, logprobs=number, detokenize=False)
    pairs = list(zip(call, adapters, strict=True))
    outputs = engine.generate(
        [{"prompt_token_ids": prompt} for asked in call for prompt in asked["compared"]],
        how,
        lora_request=[adapter for asked, adapter in pairs for _ in asked["compared"]],
        use_tqdm=False,
    )
    firsts = iter([output.outputs[0].logprobs[0] for output in outputs])
    tops = []
    for asked in call:
        own = [next(firsts) for _ in asked["compared"]]
        numbers = [[one.logprob for one in first.values()] for first in own]
        tops.append({"tokens": [list(first) for first in own], "logprobs": numbers})
    return tops


def _generate(
    vllm: Any,
    engine: Any,
    request: Mapping[str, Any],
    call: Sequence[Mapping[str, Any]],
    adapters: Sequence[Any],
) -> list[list[list[int]]]:
    """Give the answers of some arms, token ids, in the order asked."""
    prompts, hows, loras = [], [], []
    for asked, adapter in zip(call, adapters, strict=True):
        for place, seed in asked["answers"]:
            prompts.append({"prompt_token_ids": request["prompts"][place]})
            hows.append(vllm.SamplingParams(**request["sampling"], seed=seed, detokenize=False))
            loras.append(adapter)
    outputs = engine.generate(prompts, hows, lora_request=loras, use_tqdm=False)
    tokens = iter([list(output.outputs[0].token_ids) for output in outputs])
    return [[next(tokens) for _ in asked["answers"]] for asked in call]


if __name__ == "__main__":
    main(sys.argv[1])
