"""What lm-evaluation-harness wrote, as scores and conditions of ours.

Source: the form of the file is `EvalResults` in lm_eval/result_schema.py, lm_eval 0.4.13; keys of
metrics are `metric,filter` and `metric_stderr,filter` (lm_eval/api/metrics.py).
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rankshift.capability import CapabilityScore, Conditions
from rankshift.errors import WorkError
from rankshift.sealed import hash_of

SEEDS = ("random_seed", "numpy_seed", "torch_seed", "fewshot_seed")

NAMES_MODEL = "metadata"
"""Key of a task's settings in which the harness repeats the model's; the rest is the task's own."""


def read_results(
    path: Path, asked: str, dtype: str
) -> tuple[Conditions, tuple[CapabilityScore, ...]]:
    """Read a results file: conditions, and the scores of what was asked for.

    A group that has scores of its own gives these alone (MMLU is one number, not 57); a tag, or a
    group without, gives those of every task it stands for.

    Args:
        path: `results_<time>.json`.
        asked: The name that was asked for.
        dtype: What the harness was told to compute in.

    Raises:
        WorkError: It is not what this version of the harness writes, or holds no number.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        conditions = _read_conditions(content, dtype)
        scores = tuple(_list_scores(content, asked))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorkError(
            f"lm_eval wrote results that cannot be read ({type(error).__name__}); versions 0.4.13 "
            "to 0.4.x are known"
        ) from None
    if not any(score.value is not None for score in scores):
        raise WorkError(f"lm_eval gave no number for {asked}")
    return conditions, scores


def _read_conditions(content: Mapping[str, Any], dtype: str) -> Conditions:
    config = content["config"]
    tasks = {
        name: {key: value for key, value in settings.items() if key != NAMES_MODEL}
        for name, settings in content["configs"].items()
    }
    hashes = content["task_hashes"]
    if not hashes:
        raise KeyError("task_hashes")
    limit = config["limit"]
    return Conditions(
        lm_eval=content["lm_eval_version"],
        transformers=content["transformers_version"],
        torch=_find(r"PyTorch version: (\S+)", content["pretty_env_info"]),
        tasks_sha256=hash_of(tasks, length=64),
        prompts_sha256=hash_of(hashes, length=64),
        chat_template_sha256=content["chat_template_sha"],
        fewshot_as_multiturn=content["fewshot_as_multiturn"],
        seeds=tuple(config[key] for key in SEEDS),
        dtype=dtype,
        batch_size=str(config["batch_size"]),
        device=_name_device(content),
        limit=None if limit is None else int(limit),
    )


def _name_device(content: Mapping[str, Any]) -> str:
    """Name what computed: the harness notes the device it was given, also where it had no GPU.

    Source: `HFLM.__init__` in lm_eval/models/huggingface.py, 0.4.13, which then takes the CPU.
    """
    machine = content["pretty_env_info"]
    if "Is CUDA available: True" not in machine:
        return "cpu"
    return f"{content['config']['device']} ({_find(r'GPU 0: (.+)', machine)})"


def _find(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text)
    return found[1].strip() if found else None


def _list_scores(content: Mapping[str, Any], asked: str) -> Iterator[CapabilityScore]:
    results = content["results"]
    own = list(_list_metrics(content, asked)) if asked in results else []
    if own:
        yield from own
        return
    for task in sorted(set(results) & set(content["n-samples"])):
        yield from _list_metrics(content, task)


def _list_metrics(content: Mapping[str, Any], task: str) -> Iterator[CapabilityScore]:
    found = content["results"][task]
    for key, value in found.items():
        metric, comma, filtered = key.partition(",")
        if not comma or metric.endswith("_stderr"):
            continue
        better = content["higher_is_better"].get(task, {}).get(metric)
        shots = content["n-shot"].get(task)
        version = content["versions"].get(task)
        yield CapabilityScore(
            task=task,
            metric=metric,
            filter=filtered,
            value=_read_number(value),
            stderr=_read_number(found.get(f"{metric}_stderr,{filtered}")),
            higher_is_better=better if isinstance(better, bool) else None,
            samples=_count_samples(content, task, key),
            shots=shots if isinstance(shots, int) else None,
            version=None if version is None else str(version),
        )


def _count_samples(content: Mapping[str, Any], task: str, key: str) -> int | None:
    """Count questions: a task's own, or those of a group that the metric is over."""
    if task in content["n-samples"]:
        return int(content["n-samples"][task]["effective"])
    count = content["results"][task].get("sample_count", {}).get(key)
    return None if count is None else int(count)


def _read_number(value: object) -> float | None:
    """Read a finite number; the harness also writes `N/A`, NaN and Infinity."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
