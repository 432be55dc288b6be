"""Answers of all arms of a group at once: one base, one KV cache, nothing worked out twice."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from rankshift.model.drawing import SamplingSettings
from rankshift.model.masks import check_layers
from rankshift.model.merging import layers_for_sampling
from rankshift.model.prefill import choose_bucket
from rankshift.model.queue import Task
from rankshift.model.slots import fill_slots


@torch.inference_mode()
def sample_answers(
    model: PreTrainedModel,
    prompts: list[tuple[int, ...]],
    num_arms: int,
    uniforms: np.ndarray,
    settings: SamplingSettings,
    *,
    places: Sequence[int] | None = None,
) -> list[tuple[int, ...]]:
    """Sample the answers of every arm to every prompt.

    An answer depends on its arm, its prompt and its random numbers alone, bit for bit: prompts of
    one padded length are answered together, in shapes that nothing else changes.

    Args:
        model: The base with the adapters of the arms in it (or a bare model and one arm).
        prompts: Token ids of each prompt.
        num_arms: How many arms answer.
        uniforms: `[arm, prompt, repeat, token]` in 0..1: the only randomness, one number a token.
        settings: How tokens are drawn.
        places: Which of the arms in the model answer, rising; None where all do.

    Returns:
        Token ids, arm by arm, prompt by prompt, repeat by repeat; an answer that did not end is
        `max_tokens` long.

    Raises:
        UserError: The model keeps more of the past than keys and values.
    """
    check_layers(model)
    most = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    buckets: dict[int, list[int]] = {}
    for place, prompt in enumerate(prompts):
        buckets.setdefault(choose_bucket(len(prompt), most), []).append(place)
    numbers = torch.from_numpy(uniforms)
    answers: dict[tuple[int, int], list[tuple[int, ...]]] = {}
    with layers_for_sampling(model, places):
        for bucket, places in sorted(buckets.items()):
            asked = [prompts[place] for place in places]
            task = Task(asked, bucket, num_arms, numbers[:, places], settings)
            for arm, of_arm in enumerate(fill_slots(model, task).tolist()):
                for place, repeats in zip(places, of_arm, strict=True):
                    answers[arm, place] = [cut_at_end(row, settings.end_tokens) for row in repeats]
    every = [(arm, place) for arm in range(num_arms) for place in range(len(prompts))]
    return [answer for key in every for answer in answers[key]]


def cut_at_end(tokens: list[int], end_tokens: tuple[int, ...]) -> tuple[int, ...]:
    """Cut an answer before its first end token."""
    for place, token in enumerate(tokens):
        if token in end_tokens:
            return tuple(tokens[:place])
    return tuple(tokens)
