"""Which answers are to be sampled next, arm by arm, and where each of them goes on from.

Answers of one arm and prompt that have drawn the same tokens so far are one group: what the model
makes of those tokens is the same for all of them, so it is worked out once. A group forks where its
answers draw different tokens.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor
from transformers import PreTrainedModel

from rankshift.model.cache import States, to_blocks
from rankshift.model.drawing import SamplingSettings, draw_tokens
from rankshift.model.prefill import PROMPTS_A_CHUNK, read_prompts

MOST_TOGETHER = 32
"""Answers of a group: a slot has room for as many random numbers a step."""


@dataclass(frozen=True)
class Task:
    """What is asked: prompts that are padded to one length, of every arm, repeat by repeat."""

    prompts: Sequence[tuple[int, ...]]
    bucket: int
    num_arms: int
    uniforms: Tensor
    """`[arm, prompt, repeat, token]`."""
    settings: SamplingSettings

    @property
    def most_together(self) -> int:
        """Give the answers that a group may have."""
        return min(self.uniforms.shape[2], MOST_TOGETHER)


@dataclass(frozen=True)
class Group:
    """Answers that have drawn the same tokens, at least one, and none of them an end."""

    answers: tuple[int, ...]
    """Their numbers: arm by arm, prompt by prompt, repeat by repeat."""
    count: int
    """Tokens drawn."""
    position: int
    """Where the last of them goes, which the model has not seen yet."""
    token: int
    """That token."""
    states: States | None
    """What the model made of all before it; of a fork, that lies in the cache."""
    place: int
    """Which row of `states`, or of the cache, is theirs."""


class Queue:
    """Each arm's groups without a slot; prompts are read when an arm runs out of groups."""

    def __init__(
        self, model: PreTrainedModel, task: Task, tokens: Tensor, block_columns: int
    ) -> None:
        """Start with nothing read.

        Args:
            model: What reads prompts.
            task: What is asked.
            tokens: Where first tokens are written, `[answer + 1, token]`.
            block_columns: Of the cache that what is read goes to.
        """
        self.model, self.task, self.tokens = model, task, tokens
        self.block_columns = block_columns
        self.fresh: list[deque[Group]] = [deque() for _ in range(task.num_arms)]
        self.forks: list[dict[int, deque[Group]]] = [{} for _ in range(task.num_arms)]
        """Of each arm and row of the cache, by position: a row that goes on leaves what is before
        their positions as it is, so they wait where they left it."""
        self.read = 0

    def take(self, arm: int) -> Group | None:
        """Give an arm's next group: the fork that waits longest, or one that has not begun."""
        forks, fresh = self.forks[arm], self.fresh[arm]
        if forks:
            row = next(iter(forks))
            return self._take_fork(arm, row, forks[row].popleft())
        while not fresh and self.read < len(self.task.prompts):
            self.read_chunk()
        return fresh.popleft() if fresh else None

    def take_on(self, arm: int, row: int) -> Group | None:
        """Give the fork that shares most with a row that has ended, and may go on in its place.

        What the others of the row share with it is before its position.
        """
        forks = self.forks[arm]
        return self._take_fork(arm, row, forks[row].pop()) if row in forks else None

    def wait(self, arm: int, group: Group) -> None:
        """Let a fork wait; no other of its row has a later position."""
        self.forks[arm].setdefault(group.place, deque()).append(group)

    def _take_fork(self, arm: int, row: int, group: Group) -> Group:
        if not self.forks[arm][row]:
            del self.forks[arm][row]
        return group

    def read_chunk(self) -> States:
        """Read the next prompts with every arm, and draw the first token of all their answers."""
        task, start = self.task, self.read
        prompts = task.prompts[start : start + PROMPTS_A_CHUNK]
        settings, num_arms = task.settings, task.num_arms
        chunk = read_prompts(self.model, prompts, task.bucket, num_arms, settings.pad_token)
        states: States = [
            (to_blocks(keys, self.block_columns), to_blocks(values, self.block_columns))
            for keys, values in chunk.states
        ]
        logits = chunk.logits.view(num_arms, PROMPTS_A_CHUNK, -1)[:, : len(prompts)].flatten(0, 1)
        numbers = task.uniforms[:, start : start + len(prompts), :, 0].to(logits.device)
        drawn = draw_tokens(logits, numbers.flatten(0, 1), settings).view(numbers.shape)
        kept = self.tokens[:-1].view(task.uniforms.shape)
        kept[:, start : start + len(prompts), :, 0] = drawn
        self.read += len(prompts)
        if settings.max_tokens > 1:
            for arm, of_arm in enumerate(drawn.tolist()):
                for place, firsts in enumerate(of_arm):
                    number = arm * len(task.prompts) + start + place
                    row = arm * PROMPTS_A_CHUNK + place
                    blank = Group((), 1, len(prompts[place]), 0, states, row)
                    self.fresh[arm].extend(self._group(firsts, number * len(firsts), blank))
        return states

    def _group(self, firsts: list[int], number: int, blank: Group) -> list[Group]:
        """Put a prompt's answers, numbered from `number`, together by their first token."""
        most = self.task.most_together
        return [
            replace(blank, answers=tuple(answers[at : at + most]), token=token)
            for token, answers in split_by_token(range(number, number + len(firsts)), firsts)
            if token not in self.task.settings.end_tokens
            for at in range(0, len(answers), most)
        ]


def split_by_token(answers: Sequence[int], drawn: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Put answers together by the token each drew, in the order in which tokens first occur."""
    found: dict[int, list[int]] = {}
    for answer, token in zip(answers, drawn, strict=True):
        found.setdefault(token, []).append(answer)
    return list(found.items())
