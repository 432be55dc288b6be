"""A judge on loopback that speaks OpenAI's protocol, with any share of its calls going wrong.

What it thinks of a prompt is a distribution drawn from the prompt's own hash, so anybody can say
what the right score is. Which calls go wrong, and how, is drawn from a seed.
"""

import hashlib
import json
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

TRANSIENT = ("busy", "broken", "hangs", "closes", "empty", "repeated")
"""Faults after which the same call is made again."""

LASTING = ("full width", "about", "above")
"""Replies that are whole but say something odd; they are what the judge said."""

STATUS = {"busy": 429, "broken": 500, "forbidden": 401}

HANG_SECONDS = 8.0


def think(prompt: str) -> list[tuple[str, float]]:
    """Give the 20 likeliest first tokens for a prompt, with log-probabilities."""
    seed = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:8], "little")
    rng = np.random.default_rng(seed)
    words = ["CODE", "REF", "The", "I"]
    numbers = [str(n) for n in rng.choice(101, size=16, replace=False)]
    weights = rng.dirichlet([0.3] * 16) * rng.choice([0.98, 0.1], p=[0.9, 0.1])
    rest = rng.dirichlet([0.3] * 4) * (1 - weights.sum())
    tokens = dict(zip([*numbers, *words], [*weights, *rest], strict=True))
    top = sorted(tokens.items(), key=lambda item: -item[1])
    return [(token, math.log(max(weight, 1e-30))) for token, weight in top]


def say_odd(fault: str) -> list[tuple[str, float]]:
    """Give the distribution behind a whole but odd reply."""
    odd = {"full width": "\uff13\uff10", "about": "about", "above": "101"}[fault]
    return [(odd, math.log(0.9)), ("50", math.log(0.05))]


class LoopbackJudge(ThreadingHTTPServer):
    """The server; `served` counts prompts it gave a whole reply, `faults` what went wrong."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, share: float, seed: int, faults: tuple[str, ...]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.share, self.kinds, self.random = share, faults, random.Random(seed)
        self.lock = threading.Lock()
        self.served: Counter[str] = Counter()
        self.said: dict[str, list[tuple[str, float]]] = {}
        self.faults: Counter[str] = Counter()
        self.calls = 0
        self.keys: set[str] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def draw_fault(self) -> str | None:
        """Decide what becomes of a call."""
        with self.lock:
            self.calls += 1
            fault = self.random.choice(self.kinds) if self.random.random() < self.share else None
            self.faults[fault or "none"] += 1
            return fault

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LoopbackJudge  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"]
        self.server.keys.add(self.headers.get("Authorization", ""))
        fault = self.server.draw_fault()
        if fault == "hangs":
            time.sleep(HANG_SECONDS)
        if fault in ("hangs", "closes"):
            self.close_connection = True
            return
        if fault in STATUS:
            said = f"{fault} today, {self.headers.get('Authorization', '')}"
            self._send(STATUS[fault], {"error": {"message": said, "type": fault}})
            return
        top = say_odd(fault) if fault in LASTING else think(prompt)
        if fault == "empty":
            top = []
        if fault == "repeated":
            top = [("30", -0.1), ("30", -3.0)]
        if fault not in TRANSIENT:
            with self.server.lock:
                self.server.served[prompt] += 1
                self.server.said[prompt] = top
        self._send(200, _write_reply(body["model"], top))

    def _send(self, status: int, content: dict[str, object]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


def _write_reply(model: str, top: list[tuple[str, float]]) -> dict[str, object]:
    text = top[0][0] if top else ""
    alternatives = [{"token": t, "logprob": lp, "bytes": None} for t, lp in top]
    first = {"token": text, "logprob": 0.0, "bytes": None, "top_logprobs": alternatives}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "length",
                "logprobs": {"content": [first] if top else []},
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101},
    }


@contextmanager
def serve_judge(
    share: float = 0.0, seed: int = 0, faults: tuple[str, ...] = TRANSIENT + LASTING
) -> Iterator[LoopbackJudge]:
    """Run the judge for as long as the context lasts."""
    server = LoopbackJudge(share, seed, faults)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
