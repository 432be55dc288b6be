"""How likely every arm of a group finds each first token of an answer: what engines are held to."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.model.prefill import PROMPTS_A_CHUNK, choose_bucket, read_prompts


@torch.inference_mode()
def weigh_first_tokens(
    model: PreTrainedModel, prompts: Sequence[tuple[int, ...]], num_arms: int, pad_token: int
) -> Tensor:
    """Give the log-probability of every token after each prompt, nats, `[arm, prompt, vocab]`.

    Args:
        model: The base with the adapters of the `num_arms` arms whose rows it sees.
        prompts: Token ids of each prompt.
        num_arms: How many arms.
        pad_token: Fills prompts up.
    """
    most = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    bucket = choose_bucket(max(map(len, prompts)), most)
    parts = []
    for start in range(0, len(prompts), PROMPTS_A_CHUNK):
        chunk = prompts[start : start + PROMPTS_A_CHUNK]
        logits = read_prompts(model, chunk, bucket, num_arms, pad_token).logits
        parts.append(logits.view(num_arms, PROMPTS_A_CHUNK, -1)[:, : len(chunk)])
    return torch.log_softmax(torch.cat(parts, dim=1), dim=-1)
