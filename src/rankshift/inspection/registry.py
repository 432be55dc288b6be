"""What Inspect finds when rankshift is installed; the entry point in pyproject.toml names it.

Nothing here may import torch: Inspect loads every package's entry point for any command.
"""

from inspect_ai.model import ModelAPI, modelapi

from rankshift.inspection.draws import answer
from rankshift.inspection.metrics import rates
from rankshift.inspection.replays import replay as replay_answers
from rankshift.inspection.scorers import judge
from rankshift.inspection.tasks import betley, organism, replay, suite

__all__ = [
    "answer",
    "betley",
    "judge",
    "organism",
    "rankshift",
    "rates",
    "replay",
    "replay_answers",
    "suite",
]


@modelapi("rankshift")
def rankshift() -> type[ModelAPI]:
    """Give the provider of arms: `--model rankshift/runs/demo:rank-16-seed-1`."""
    from rankshift.inspection.provider import ArmAPI

    return ArmAPI
