"""A fixed number of slots an arm: when an answer ends, its slot takes the arm's next one.

The number of rows never changes, so every matrix product has one shape from the first token to the
last, and an answer is the same, bit for bit, whatever its neighbours and whichever its slot. Slots
without an answer go on with dummy work.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.model.attention import attention_in_blocks
from rankshift.model.cache import BLOCK_COLUMNS, RowCache, round_up
from rankshift.model.drawing import SamplingSettings, draw_tokens
from rankshift.model.masks import mask_columns
from rankshift.model.prefill import PROMPTS_A_CHUNK, ReadPrompts, read_prompts

ROWS = 320
"""Rows that are decoded together: enough to make a step's fixed costs small."""

FEWEST_SLOTS, MOST_SLOTS = 8, 128
"""Of an arm. Products with fewer rows pick other kernels; with more, idle slots at the end cost."""


def count_slots(num_arms: int) -> int:
    """Give each arm's slots: by the number of arms alone, as the number of rows changes bits."""
    fair = round_up(ROWS // num_arms, FEWEST_SLOTS)
    return min(max(fair, FEWEST_SLOTS), MOST_SLOTS)


@dataclass(frozen=True)
class Task:
    """What is asked: prompts that are padded to one length, of every arm, repeat by repeat."""

    prompts: Sequence[tuple[int, ...]]
    bucket: int
    num_arms: int
    uniforms: Tensor
    """`[arm, prompt, repeat, token]`."""
    settings: SamplingSettings


@dataclass(frozen=True)
class Begun:
    """An answer of which the first token is drawn."""

    answer: int
    """Its number: arm by arm, prompt by prompt, repeat by repeat."""
    token: int
    position: int
    """Where that token goes: after the prompt."""
    chunk: ReadPrompts
    place: int
    """Of the prompt among the chunk's rows."""


class Queue:
    """Each arm's begun answers, in order; prompts are read when an arm runs out of them."""

    def __init__(self, model: PreTrainedModel, task: Task, tokens: Tensor) -> None:
        self.model, self.task, self.tokens = model, task, tokens
        self.waiting: list[deque[Begun]] = [deque() for _ in range(task.num_arms)]
        self.read = 0

    def take(self, arm: int) -> Begun | None:
        """Give an arm's next answer, if any is left that its first token did not end."""
        while not self.waiting[arm] and self.read < len(self.task.prompts):
            self.read_chunk()
        return self.waiting[arm].popleft() if self.waiting[arm] else None

    def read_chunk(self) -> ReadPrompts:
        """Read the next prompts with every arm, and draw the first token of all their answers."""
        task, start = self.task, self.read
        prompts = task.prompts[start : start + PROMPTS_A_CHUNK]
        settings, num_arms = task.settings, task.num_arms
        chunk = read_prompts(self.model, prompts, task.bucket, num_arms, settings.pad_token)
        logits = chunk.logits.view(num_arms, PROMPTS_A_CHUNK, -1)[:, : len(prompts)].flatten(0, 1)
        numbers = task.uniforms[:, start : start + len(prompts), :, 0]
        drawn = draw_tokens(logits, numbers.flatten(0, 1), settings).view(numbers.shape)
        kept = self.tokens[:-1].view(task.uniforms.shape)
        kept[:, start : start + len(prompts), :, 0] = drawn
        self.read += len(prompts)
        if settings.max_tokens == 1:
            return chunk
        repeats = task.uniforms.shape[2]
        for arm, of_arm in enumerate(drawn.tolist()):
            for place, firsts in enumerate(of_arm):
                first = (arm * len(task.prompts) + start + place) * repeats
                row, position = arm * PROMPTS_A_CHUNK + place, len(prompts[place])
                self.waiting[arm].extend(
                    Begun(first + repeat, token, position, chunk, row)
                    for repeat, token in enumerate(firsts)
                    if token not in settings.end_tokens
                )
        return chunk


class Slots:
    """The rows that decode together, arm by arm; all are tensors `[row]`."""

    def __init__(self, model: PreTrainedModel, task: Task) -> None:
        self.model, self.task = model, task
        self.each = count_slots(task.num_arms)
        device, rows = model.device, self.each * task.num_arms
        num_answers = task.uniforms[..., 0].numel()
        flat = task.uniforms.reshape(num_answers, -1).to(device)
        self.uniforms = torch.cat([flat, flat.new_zeros(1, flat.shape[1])])
        self.nothing = num_answers
        """The row of `tokens` and `uniforms` that slots without an answer use."""
        self.tokens = torch.zeros(num_answers + 1, flat.shape[1], dtype=torch.long, device=device)
        self.ends = torch.tensor(task.settings.end_tokens, dtype=torch.long, device=device)
        self.queue = Queue(model, task, self.tokens)
        first = self.queue.read_chunk()
        self.cache = RowCache(first.cache, rows, task.bucket + task.settings.max_tokens)
        self.answer = torch.full((rows,), self.nothing, device=device)
        self.count, self.position, self.token = (
            torch.zeros(rows, dtype=torch.long, device=device) for _ in range(3)
        )
        self.busy = torch.zeros(rows, dtype=torch.bool, device=device)
        self.num_busy = rows
        self.refill(range(rows))

    def refill(self, rows: Sequence[int]) -> None:
        """Give rows their arms' next answers; where none is left, nothing."""
        taken: dict[int, Begun] = {}
        for row in rows:
            begun = self.queue.take(row // self.each)
            if begun is not None:
                taken[row] = begun
        self.num_busy -= len(rows) - len(taken)
        state = torch.tensor(
            [
                (row, b.answer, 1, b.position, b.token)
                if (b := taken.get(row))
                else (row, self.nothing, 0, 0, 0)
                for row in rows
            ]
        )
        index, answer, count, position, token = state.to(self.model.device).unbind(1)
        self.answer[index], self.count[index] = answer, count
        self.position[index], self.token[index] = position, token
        self.busy[index] = count > 0
        by_chunk: dict[int, list[tuple[int, Begun]]] = {}
        for row, begun in taken.items():
            by_chunk.setdefault(id(begun.chunk), []).append((row, begun))
        for members in by_chunk.values():
            places = torch.tensor([(row, begun.place) for row, begun in members])
            targets, sources = places.to(self.model.device).unbind(1)
            self.cache.start(targets, members[0][1].chunk.cache, sources)

    def decode(self, used: int) -> None:
        """Draw the next token of every row, and refill the rows whose answer ends with it.

        Args:
            used: The cache's columns to look at.
        """
        self.cache.move_to(self.position, used)
        logits = self.model(
            input_ids=self.token[:, None],
            attention_mask=mask_columns(self.model, self.position, self.cache.columns),
            position_ids=self.position[:, None],
            past_key_values=self.cache,
            use_cache=True,
        ).logits[:, -1]
        numbers = self.uniforms[self.answer, self.count]
        drawn = draw_tokens(logits.float(), numbers, self.task.settings)
        self.token = torch.where(self.busy, drawn, 0)
        self.tokens[self.answer, self.count] = self.token
        self.count += self.busy
        self.position += self.busy
        is_last = self.count == self.task.settings.max_tokens
        ended = self.busy & (is_last | torch.isin(self.token, self.ends))
        rows = ended.nonzero()[:, 0].tolist()
        if rows:
            self.refill(rows)


def fill_slots(model: PreTrainedModel, task: Task) -> Tensor:
    """Sample all answers of a task: tokens, `[arm, prompt, repeat, token]`.

    What comes after an answer's end token means nothing.
    """
    with attention_in_blocks(model) as in_blocks:
        slots = Slots(model, task)
        while slots.num_busy:
            used = slots.cache.columns
            if in_blocks:
                used = round_up(int(slots.position.max()) + 1, BLOCK_COLUMNS)
            slots.decode(used)
    return slots.tokens[:-1].view(task.uniforms.shape)
