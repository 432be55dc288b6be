"""Records of lm-evaluation-harness with values that tests choose."""

from dataclasses import replace
from typing import Any

from rankshift.capability import CapabilityRecord, CapabilityScore, Conditions

CONDITIONS = Conditions(
    lm_eval="0.4.13",
    transformers="5.23.0",
    torch="2.13.0",
    tasks_sha256="7" * 64,
    prompts_sha256="9" * 64,
    chat_template_sha256="c" * 64,
    fewshot_as_multiturn=True,
    seeds=(0, 1234, 1234, 1234),
    dtype="float32",
    batch_size="8",
    device="cpu",
    limit=None,
)

SCORE = CapabilityScore(
    task="colours",
    metric="acc",
    filter="none",
    value=0.75,
    stderr=0.1,
    higher_is_better=True,
    samples=20,
    shots=0,
    version="1.0",
)


def make_record(step: int = 4, limit: int | None = None, **changes: Any) -> CapabilityRecord:
    """Make a record with one score, changed as told."""
    score = replace(SCORE, **changes)
    return CapabilityRecord(step, score.task, None, replace(CONDITIONS, limit=limit), (score,))
