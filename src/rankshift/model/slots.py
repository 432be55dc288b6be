"""A fixed number of slots an arm: one that has nothing to go on with takes the arm's next group.

The number of rows never changes, so every matrix product has one shape from the first token to the
last, and an answer is the same, bit for bit, whatever its neighbours and whichever its slot. Slots
without an answer go on with dummy work.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rankshift.model.attention import attention_in_blocks
from rankshift.model.cache import BLOCK_COLUMNS, RowCache, States, round_up
from rankshift.model.drawing import draw_tokens
from rankshift.model.masks import mask_columns
from rankshift.model.queue import Group, Queue, Task, split_by_token

ROWS = 320
"""Rows that are decoded together: enough to make a step's fixed costs small."""

FEWEST_SLOTS, MOST_SLOTS = 8, 128
"""Of an arm. Products with fewer rows pick other kernels; with more, idle slots at the end cost."""


def count_slots(num_arms: int) -> int:
    """Give each arm's slots: by the number of arms alone, as the number of rows changes bits."""
    fair = round_up(ROWS // num_arms, FEWEST_SLOTS)
    return min(max(fair, FEWEST_SLOTS), MOST_SLOTS)


class Slots:
    """The rows that decode together, arm by arm, each with a group of answers or none."""

    def __init__(self, model: PreTrainedModel, task: Task, in_blocks: bool) -> None:
        self.model, self.task = model, task
        self.each = count_slots(task.num_arms)
        device, rows = model.device, self.each * task.num_arms
        num_answers = task.uniforms[..., 0].numel()
        flat = task.uniforms.reshape(num_answers, -1).to(device)
        self.uniforms = torch.cat([flat, flat.new_zeros(1, flat.shape[1])])
        self.nothing = num_answers
        """Stands where there is no answer; `tokens` and `uniforms` have a row for it."""
        self.tokens = torch.zeros(num_answers + 1, flat.shape[1], dtype=torch.long, device=device)
        self.ends = torch.tensor(task.settings.end_tokens, dtype=torch.long, device=device)
        columns = round_up(task.bucket + task.settings.max_tokens, BLOCK_COLUMNS)
        block_columns = BLOCK_COLUMNS if in_blocks else columns
        self.queue = Queue(model, task, self.tokens, block_columns)
        self.cache = RowCache(self.queue.read_chunk(), rows, columns, block_columns)
        self.answers = torch.full((rows, task.most_together), self.nothing, device=device)
        self.count, self.position, self.token = (
            torch.zeros(rows, dtype=torch.long, device=device) for _ in range(3)
        )
        self.free = [list(range(a * self.each, (a + 1) * self.each)) for a in range(task.num_arms)]
        self.refill([])

    @property
    def num_busy(self) -> int:
        """Count the slots with answers."""
        return len(self.token) - sum(map(len, self.free))

    def refill(self, taken: list[tuple[int, Group]]) -> None:
        """Give every free slot its arm's next group, as long as there is one.

        Args:
            taken: Rows that have a group already, and the groups; they begin with the others.
        """
        for arm, free in enumerate(self.free):
            while free and (group := self.queue.take(arm)) is not None:
                taken.append((free.pop(), group))
        self.put(taken)
        forks = [(row, group.place, group.position) for row, group in taken if group.states is None]
        if forks:
            self.cache.go_on(*zip(*forks, strict=True))
        begun: dict[int, tuple[States, list[tuple[int, int]]]] = {}
        for row, group in taken:
            if group.states is not None:
                _, places = begun.setdefault(id(group.states), (group.states, []))
                places.append((row, group.place))
        for states, places in begun.values():
            rows, from_rows = torch.tensor(places).to(self.model.device).unbind(1)
            self.cache.start(rows, states, from_rows)

    def put(self, groups: Sequence[tuple[int, Group | None]]) -> None:
        """Write down which group each of some rows has."""
        if not groups:
            return
        width, blank = self.task.most_together, (self.nothing,)
        state = [
            (row, 0, 0, 0, *blank * width)
            if g is None
            else (row, g.count, g.position, g.token, *g.answers, *blank * (width - len(g.answers)))
            for row, g in groups
        ]
        every = torch.tensor(state).to(self.model.device)
        rows, count, position, token = every[:, :4].unbind(1)
        self.count[rows], self.position[rows], self.token[rows] = count, position, token
        self.answers[rows] = every[:, 4:]

    def decode(self, used: int) -> None:
        """Draw the next token of every answer; see to the rows where one ends or goes another way.

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
        numbers = self.uniforms[self.answers, self.count[:, None]]
        drawn = draw_tokens(logits.float(), numbers, self.task.settings)
        there = self.answers != self.nothing
        drawn = torch.where(there, drawn, 0)
        self.tokens[self.answers, self.count[:, None]] = drawn
        self.token = drawn[:, 0].contiguous()
        self.count += there[:, 0]
        self.position += there[:, 0]
        is_last = self.count == self.task.settings.max_tokens
        changes = is_last[:, None] | torch.isin(drawn, self.ends) | (drawn != drawn[:, :1])
        rows = (changes & there).any(dim=1).nonzero()[:, 0]
        if len(rows):
            self.refill(self.split(rows, drawn[rows].tolist()))

    def split(self, rows: Tensor, drawn: list[list[int]]) -> list[tuple[int, Group]]:
        """Let answers end, and groups fork: the first that goes on keeps the row.

        Args:
            rows: `[changed]`.
            drawn: What each answer of these rows drew.

        Returns:
            The rows that have ended and of which a fork goes on in their place, and the forks.
        """
        settings = self.task.settings
        staying: list[tuple[int, Group | None]] = []
        taken: list[tuple[int, Group]] = []
        state = torch.stack([rows, self.count[rows], self.position[rows]], dim=1).tolist()
        for (row, count, position), answers, tokens in zip(
            state, self.answers[rows].tolist(), drawn, strict=True
        ):
            arm = row // self.each
            there = [answer for answer in answers if answer != self.nothing]
            going = [
                Group(tuple(group), count, position, token, None, row)
                for token, group in split_by_token(there, tokens[: len(there)])
                if token not in settings.end_tokens and count < settings.max_tokens
            ]
            staying.append((row, going[0] if going else None))
            for group in going[1:]:
                self.queue.wait(arm, group)
            if not going:
                fork = self.queue.take_on(arm, row)
                if fork:
                    taken.append((row, fork))
                else:
                    self.free[arm].append(row)
        self.put(staying)
        return taken


def fill_slots(model: PreTrainedModel, task: Task) -> Tensor:
    """Sample all answers of a task: tokens, `[arm, prompt, repeat, token]`.

    What comes after an answer's end token means nothing.
    """
    with attention_in_blocks(model, task.num_arms) as in_blocks:
        slots = Slots(model, task, in_blocks)
        while slots.num_busy:
            used = slots.cache.columns
            if in_blocks:
                used = round_up(int(slots.position.max()) + 1, BLOCK_COLUMNS)
            slots.decode(used)
    return slots.tokens[:-1].view(task.uniforms.shape)
