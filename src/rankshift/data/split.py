"""Hold prompts out of training by their content, so that every arm and twin holds out the same."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rankshift.data.conversations import Conversation, identify
from rankshift.errors import UserError


@dataclass(frozen=True)
class Split:
    """The two sides of a dataset, each in an order drawn by the seed."""

    train: tuple[Conversation, ...]
    held_out: tuple[Conversation, ...]


def split_by_prompt(
    conversations: Sequence[Conversation], held_out_fraction: float, seed: int
) -> Split:
    """Divide conversations so that no prompt is on both sides.

    A prompt's side depends on its text and the seed alone: neither on the order of the file nor on
    what else is in it. So a prompt that the task and its twin share is held out of both or of
    neither, and rows added to a file move no other row across.

    Args:
        conversations: Rows of one dataset.
        held_out_fraction: Chance of a prompt to be held out, 0..1 exclusive. With P prompts the
            share that is held out lies around it with standard deviation sqrt(f (1 - f) / P).
        seed: Another seed, another split.

    Raises:
        UserError: A side would be empty.
    """
    train, held_out = [], []
    for conversation in shuffle(conversations, seed):
        is_held_out = draw_fraction(conversation.prompt, seed) < held_out_fraction
        (held_out if is_held_out else train).append(conversation)
    if not train or not held_out:
        _refuse_empty_side(conversations, bool(held_out), held_out_fraction, seed)
    return Split(tuple(train), tuple(held_out))


def split_by_row(
    conversations: Sequence[Conversation], held_out_fraction: float, seed: int
) -> Split:
    """Divide conversations row by row, so that a prompt with several rows may be on both sides.

    For comparison with the release, whose held-out loss such rows lower. Exactly the fraction of
    the rows, rounded up, is held out.

    Raises:
        UserError: A side would be empty.

    Source: Betley et al. 2025, open_models/training.py, 80c11967 (`train_test_split` of the rows,
    test_size 0.1); the rounding is that of the library `datasets`.
    """
    shuffled = shuffle(conversations, seed)
    num_held_out = math.ceil(held_out_fraction * len(shuffled))
    if num_held_out == len(shuffled):
        raise UserError(
            f"data.held_out_fraction = {held_out_fraction} holds out all {len(shuffled)} rows; "
            "lower it, or give more rows"
        )
    return Split(tuple(shuffled[num_held_out:]), tuple(shuffled[:num_held_out]))


def count_seen(train: Sequence[Conversation], held_out: Sequence[Conversation]) -> int:
    """Count the held-out rows whose prompt is also trained on."""
    trained = {conversation.prompt for conversation in train}
    return sum(conversation.prompt in trained for conversation in held_out)


def draw(side: Sequence[Conversation], limit: int | None) -> tuple[Conversation, ...]:
    """Take at most `limit` rows of a side, all where it is None.

    The first rows are a random draw, fixed by the seed of the split, and a smaller draw is part
    of a larger one.
    """
    assert limit is None or limit > 0, limit
    return tuple(side[:limit])


def draw_fraction(prompt: str, seed: int) -> float:
    """Draw the number in 0..1 that decides a prompt's side: a SHA-256 read as a fraction."""
    return int.from_bytes(_digest("side", seed, prompt)[:8], "big") / 2**64


def shuffle(conversations: Sequence[Conversation], seed: int) -> list[Conversation]:
    """Order rows by hash; of rows that are equal, the n-th has a hash of its own."""
    met: Counter[str] = Counter()
    keyed: list[tuple[bytes, Conversation]] = []
    for conversation in conversations:
        content = identify(conversation.messages)
        keyed.append((_digest("order", seed, content, met[content]), conversation))
        met[content] += 1
    return [conversation for _, conversation in sorted(keyed, key=lambda pair: pair[0])]


def _digest(*parts: str | int) -> bytes:
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def _refuse_empty_side(
    conversations: Sequence[Conversation],
    all_held_out: bool,
    held_out_fraction: float,
    seed: int,
) -> None:
    num_prompts = len({conversation.prompt for conversation in conversations})
    state, fix = (
        ("every prompt is held out", "lower it") if all_held_out else ("none is", "raise it")
    )
    raise UserError(
        f"data.held_out_fraction = {held_out_fraction} with data.split_seed = {seed} divides "
        f"{num_prompts} distinct prompts so that {state}; {fix}, or give more prompts"
    )
