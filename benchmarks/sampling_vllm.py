"""vLLM's side of the benchmark of sampling: the lab's own way of asking it, an engine a bucket."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.sampling_work import Answers, Shape, list_arms, list_prompts, settings_of
from rankshift.eval.suite import Question
from rankshift.executor.vllm.buckets import Due, choose_kind, fill_buckets
from rankshift.executor.vllm.child import find_vllm, run_request
from rankshift.executor.vllm.parity import Reference, TopTokens
from rankshift.executor.vllm.request import Asked, make_request
from rankshift.model.loading import load_tokenizer
from rankshift.model.sampling import cut_at_end
from rankshift.organism.shelf import base_directory
from rankshift.study import Evaluation

NOTHING = TopTokens((), ())


@dataclass(frozen=True)
class Engine:
    """What one engine took."""

    max_rank: int | None
    arms: int
    start_seconds: float
    """Until it stands, Python's start and imports included."""
    start_core_seconds: float
    seconds: float
    """From then until all of its arms have answered."""
    core_seconds: float


def ask_vllm(
    shape: Shape, adapters: Path, threads: int, greedy: bool
) -> tuple[list[Engine], dict[int, Answers], dict[str, str]]:
    """Have every arm answered, as a study would.

    Args:
        shape: How much is sampled.
        adapters: Holds each arm's adapter, by its number.
        threads: Of each engine.
        greedy: Whether each prompt is answered once, by the likeliest tokens.

    Returns:
        What each engine took, answers by the number of the arm, and versions.
    """
    due = [
        Due(
            str(at), f"rank {arm.rank}", 0, choose_kind(arm.rank or 0), adapters / str(at), arm.rank
        )
        for at, arm in enumerate(list_arms(shape))
    ]
    settings = settings_of(shape, 0.0 if greedy else 1.0)
    evaluation = Evaluation(
        suites=("prompts",),
        answers_per_question=1 if greedy else shape.repeats,
        max_answer_tokens=settings.max_tokens,
        temperature=settings.temperature,
        engine="vllm",
    )
    questions = [
        Question("prompts", str(at), str(at), 0, prompt)
        for at, prompt in enumerate(list_prompts(shape))
    ]
    reference = Reference(((settings.end_tokens[0],),), settings.end_tokens, NOTHING, None)
    asked = Asked(questions, load_tokenizer(base_directory()), reference)
    engines, answers, versions = [], dict[int, Answers](), dict[str, str]()
    for bucket in fill_buckets(due):
        everyone = {one.key: asked for one in bucket.due}
        request = make_request(bucket, everyone, base_directory(), "float32", evaluation)
        told, times = _run(request, threads)
        ready, *others = told
        versions = ready["versions"]
        for one, message in zip(bucket.due, others, strict=True):
            tokens = message["answers"]
            answers[int(one.arm)] = [cut_at_end(own, settings.end_tokens) for own in tokens]
        began, stood, ended = times
        core = ready["core_seconds"], others[-1]["core_seconds"]
        engines.append(
            Engine(
                bucket.max_rank,
                len(bucket.due),
                start_seconds=stood - began,
                start_core_seconds=core[0],
                seconds=ended - stood,
                core_seconds=core[1] - core[0],
            )
        )
    return engines, dict(sorted(answers.items())), versions


def _run(
    request: dict[str, Any], threads: int
) -> tuple[list[dict[str, Any]], tuple[float, float, float]]:
    """Give all messages, and when the process was started, stood and was done."""
    told: list[dict[str, Any]] = []
    moments = [perf_counter()]

    def take(message: dict[str, Any]) -> None:
        told.append(message)
        moments.append(perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "work"
        place.mkdir()
        run_request(find_vllm(), request, place, Path(folder) / "log", threads, take)
    return told, (moments[0], moments[1], moments[-1])
