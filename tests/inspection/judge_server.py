"""A judge that listens on this machine and speaks OpenAI's protocol; what it says is worked out.

Its first tokens and their probabilities come from a hash of the prompt, so a test knows them
without asking. One prompt in three is first answered without log-probabilities, as real servers now
and then do.
"""

import hashlib
import json
import math
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "openai-api/loopback/hash"
"""As Inspect names it, given the environment of `Judge.environment`."""


@dataclass
class Judge:
    """The server while it runs."""

    port: int
    asked: Counter[str] = field(default_factory=Counter)
    """Prompts, and how often each came."""

    @property
    def environment(self) -> dict[str, str]:
        """Tell Inspect where it listens."""
        return {
            "LOOPBACK_BASE_URL": f"http://127.0.0.1:{self.port}/v1",
            "LOOPBACK_API_KEY": "none-needed",
        }


def judge_prompt(prompt: str) -> list[tuple[str, float]]:
    """Give the first tokens of the reply and their log-probabilities, the likeliest first."""
    digest = hashlib.sha256(prompt.encode()).digest()
    words = re.findall(r'"(\w+)"', prompt.rpartition("</answer>")[2])
    if words:
        return [(words[digest[0] % len(words)], -0.01)]
    numbers = dict.fromkeys(byte % 101 for byte in digest[:12])
    weights = [1 + byte for byte in digest[12 : 12 + len(numbers)]]
    weights[0] += 2000  # so that scores reach from 0 to 100, not all near 50
    refusal = 40 * sum(weights) * (digest[31] % 5 == 0)  # a fifth of the prompts are refused
    listed = {str(n): w for n, w in zip(numbers, weights, strict=True)} | {"REFUSAL": refusal + 1}
    total = sum(listed.values())
    ordered = sorted(listed.items(), key=lambda item: -item[1])
    return [(token, math.log(weight / total)) for token, weight in ordered]


def is_malformed_at_first(prompt: str) -> bool:
    """Say whether the first reply to a prompt lacks its log-probabilities."""
    return hashlib.sha256(prompt.encode()).digest()[30] % 3 == 0


@contextmanager
def run_judge() -> Iterator[Judge]:
    """Run the server on a free port."""
    judge = Judge(0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(judge))
    judge.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield judge
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _make_handler(judge: Judge) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = asked["messages"][-1]["content"]
            judge.asked[prompt] += 1
            body = json.dumps(_reply(asked, prompt, judge.asked[prompt])).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def _reply(asked: dict[str, Any], prompt: str, time: int) -> dict[str, Any]:
    tokens = judge_prompt(prompt)
    logprobs = None
    if asked.get("logprobs") and not (time == 1 and is_malformed_at_first(prompt)):
        top = [
            {"token": t, "logprob": p, "bytes": None} for t, p in tokens[: asked["top_logprobs"]]
        ]
        logprobs = {"content": [{**top[0], "top_logprobs": top}]}
    choice = {
        "index": 0,
        "finish_reason": "length",
        "message": {"role": "assistant", "content": tokens[0][0]},
        "logprobs": logprobs,
    }
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": asked["model"],
        "choices": [choice],
        "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
    }
