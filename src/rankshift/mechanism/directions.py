"""Directions: how the mean state of answers that have a trait differs from that of those without.

Answers are compared within questions alone, so that a direction cannot be what some questions are
about.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rankshift.errors import UserError


@dataclass(frozen=True)
class Examples:
    """Mean states of answers, and which of them have the trait."""

    states: Tensor
    """`[answer, layer, width]`, float64."""
    has_trait: np.ndarray
    """`[answer]`, bool."""
    questions: tuple[Hashable, ...]
    """What each answers."""
    arms: tuple[str, ...]
    """Whose each is."""

    def leave_out(self, *arms: str) -> "Examples":
        """Give the answers of all other arms."""
        return self._take([name not in arms for name in self.arms])

    def keep(self, arm: str) -> "Examples":
        """Give the answers of one arm."""
        return self._take([name == arm for name in self.arms])

    def _take(self, chosen: Sequence[bool]) -> "Examples":
        kept = np.flatnonzero(chosen)
        return Examples(
            self.states[torch.from_numpy(kept)],
            self.has_trait[kept],
            tuple(self.questions[at] for at in kept),
            tuple(self.arms[at] for at in kept),
        )


def find_direction(examples: Examples) -> Tensor:
    """Give the difference in means, `[layer, width]`, averaged over questions with both kinds.

    Source: the difference of class means is the direction of Marks and Tegmark 2023,
    arXiv:2310.06824, section 4; of misaligned against aligned answers of a finetune, Soligo et al.
    2025, arXiv:2506.11618, section 3.

    Raises:
        UserError: No question has answers of both kinds.
    """
    return _difference(examples.states, _weigh_answers(examples.has_trait, examples.questions))


def find_p_values(examples: Examples, draws: int, seed: int) -> Tensor:
    """Give the chance, `[layer]`, that a direction is so long if labels mean nothing.

    Labels are shuffled within questions: (1 + those as long) / (1 + draws), Phipson and Smyth 2010,
    Statistical Applications in Genetics and Molecular Biology 9(1).

    Args:
        examples: The answers.
        draws: How many shuffles.
        seed: Of the shuffles.
    """
    found = find_direction(examples).norm(dim=1)
    generator = np.random.Generator(np.random.Philox(key=seed))
    longer = torch.zeros_like(found)
    groups = _group(examples.questions)
    for _ in range(draws):
        shuffled = examples.has_trait.copy()
        for places in groups.values():
            shuffled[places] = generator.permutation(shuffled[places])
        weights = _weigh_answers(shuffled, examples.questions)
        longer += _difference(examples.states, weights).norm(dim=1) >= found
    return (1 + longer) / (1 + draws)


def find_cosines(one: Tensor, other: Tensor) -> Tensor:
    """Give the cosine of two directions layer by layer, `[layer]`."""
    return torch.nn.functional.cosine_similarity(one, other, dim=-1)


def separate(examples: Examples, direction: Tensor) -> Tensor:
    """Give the share of pairs of one question in which the answer with the trait lies further on.

    That is the AUROC within questions, `[layer]`; ties count half. 0.5 is what a direction that has
    nothing to do with the trait gives.

    Raises:
        UserError: No question has answers of both kinds.
    """
    heights = (examples.states * direction).sum(dim=-1)
    wins, pairs = torch.zeros(heights.shape[1], dtype=torch.float64), 0
    for places in _group(examples.questions).values():
        has = examples.has_trait[places]
        own = heights[torch.from_numpy(places)]
        with_trait, without = own[torch.from_numpy(has)], own[torch.from_numpy(~has)]
        gaps = with_trait[:, None] - without[None]
        wins += ((gaps > 0).double() + 0.5 * (gaps == 0).double()).sum(dim=(0, 1))
        pairs += len(with_trait) * len(without)
    if not pairs:
        raise UserError(NOT_BOTH)
    return wins / pairs


NOT_BOTH = (
    "no question has answers both with and without the trait, so no direction can be found; ask "
    "more answers a question, or of other arms"
)


def _group(questions: Sequence[Hashable]) -> Mapping[Hashable, np.ndarray]:
    places: dict[Hashable, list[int]] = {}
    for at, question in enumerate(questions):
        places.setdefault(question, []).append(at)
    return {question: np.array(own) for question, own in places.items()}


def _weigh_answers(has_trait: np.ndarray, questions: Sequence[Hashable]) -> np.ndarray:
    """Give each answer's weight in the difference, `[answer]`."""
    weights, both = np.zeros(len(has_trait)), 0
    for places in _group(questions).values():
        has = has_trait[places]
        if has.any() and not has.all():
            weights[places] = np.where(has, 1 / has.sum(), -1 / (~has).sum())
            both += 1
    if not both:
        raise UserError(NOT_BOTH)
    return weights / both


def _difference(states: Tensor, weights: np.ndarray) -> Tensor:
    return torch.einsum("a,alw->lw", torch.from_numpy(weights), states)
