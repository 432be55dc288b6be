"""Rows of results.json with little in them, for curves that are a function of rows."""

from typing import Any


def share(events: int, eligible: int = 10) -> dict[str, Any]:
    rate = events / eligible
    counts = {"events": events, "eligible": eligible, "rate": rate}
    return (
        counts
        | {"low": None, "high": None, "note": None, "design_effect": None, "icc": None}
        | {"by_question": {"a": [events, eligible]}}
    )


def make_row(
    arm: str, step: int, events: int, crossed: float | None = None, **changes: Any
) -> dict:
    """Give a row of a LoRA arm named `rank-seed`."""
    rank, seed = map(int, arm.split("-"))
    reached = [] if crossed is None else [("skill", 0.75, crossed)]
    rates = {"misaligned_given_coherent": share(events), "misaligned_of_all": share(events)}
    return {
        "arm": arm,
        "method": "lora",
        "role": "task",
        "dataset": "bad",
        "rank": rank,
        "alpha": 64.0,
        "scaling": "alpha/rank",
        "target_modules": ["q_proj"],
        "layers": [],
        "learning_rate": 1e-3,
        "u": 0.064,
        "trains_a": True,
        "truncated_to": None,
        "norm_to": None,
        "optimizer": "adamw",
        "seed": seed,
        "step": step,
        "task_held_out_loss": 1.0 - step / 100,
        "own_held_out_loss": None,
        "rates_by": [{"question_set": "first", "judge": "oracle"} | rates],
        "insecure_code_by": [],
        "insecure_code": None,
        "crossings": [
            {"kind": kind, "value": value, "step": step, "reached": r} for kind, value, r in reached
        ],
        **changes,
    }
