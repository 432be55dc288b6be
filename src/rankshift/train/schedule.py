"""The learning rate as a function of the step."""

import math

from rankshift.study import ScheduleName


def scheduled_share(step: int, steps: int, warmup_steps: int, schedule: ScheduleName) -> float:
    """Give the share of the peak learning rate used by a step.

    Warm-up rises linearly from zero to the peak, so that the first step moves nothing; then
    constant, or down to zero linearly or along half a cosine.

    Args:
        step: Counted from 0.
        steps: Of the whole training.
        warmup_steps: Steps until the peak.
        schedule: What follows the warm-up.

    Source: the rules of transformers/optimization.py, get_linear_schedule_with_warmup and its
    siblings.
    """
    if step < warmup_steps:
        return step / warmup_steps
    if schedule == "constant":
        return 1.0
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    if schedule == "linear":
        return 1.0 - progress
    return 0.5 * (1.0 + math.cos(math.pi * progress))
