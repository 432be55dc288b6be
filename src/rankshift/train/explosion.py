"""When an arm's loss has exploded: a rule on its recorded steps alone, whoever trains beside it.

At its first step an arm is the base, or close to it; one that guesses uniformly among all tokens
has a loss of ln(vocabulary). An arm whose training loss is more than half of the way from the one
to the other, step after step, has lost half of what the base knew and will not tell anything of its
rank. A single such step may be a spike that passes. Where the base knows nothing, nothing explodes.

Source: our own rule; there is none to take over. Spikes that pass are usual: Chowdhery et al. 2022,
arXiv:2204.02311, section 5.1. With norms before every layer a model that comes apart ends near a
uniform guess, seldom far above it, so a multiple of that would miss it.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from transformers import PreTrainedModel

from rankshift.records import StepRecord
from rankshift.train.roster import Group

STEPS_ABOVE = 8
"""After so many steps in a row above the limit, an arm is stopped."""

SHARE_LOST = 0.5
"""The limit, as a share of the way from the arm's first loss to that of a uniform guess."""


def uniform_loss(model: PreTrainedModel) -> float:
    """Give the loss of a uniform guess among all tokens, nats per token."""
    return math.log(model.config.get_text_config().vocab_size)


def has_exploded(steps: Sequence[StepRecord], uniform: float) -> bool:
    """Say whether the last steps on record were all above the limit.

    Args:
        steps: An arm's, from its first one on.
        uniform: Loss of a uniform guess, nats per token.
    """
    last = [step.loss for step in steps[-STEPS_ABOVE:]]
    first = steps[0].loss if steps else None
    if len(last) < STEPS_ABOVE or first is None or first >= uniform:
        return False
    limit = first + SHARE_LOST * (uniform - first)
    return all(loss is not None and loss > limit for loss in last)


def stop_exploded(group: Group, uniform: float, active: torch.Tensor) -> None:
    """Stop the arms whose loss has exploded with the step just recorded.

    Args:
        group: Gets the mark on the arm's last step.
        uniform: Loss of a uniform guess, nats per token.
        active: `[arm]`, changed for an arm that is stopped.
    """
    for index, steps in enumerate(group.steps):
        if active[index] and has_exploded(steps, uniform):
            steps[-1] = replace(steps[-1], exploded=True)
            active[index] = False
