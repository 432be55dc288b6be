"""Simulated tasks beside simulated twins: the excess of one rate over the other."""

from dataclasses import dataclass

import numpy as np

from calibration.truths import Draws, Truth, draw_studies
from rankshift.analysis.excess import describe_excess

TWIN_RATE = 0.01
"""A benign finetune is hardly ever misaligned."""


@dataclass(frozen=True)
class Pairs:
    """Studies of a task and a twin with the same seeds' names and nothing else in common.

    Seeds that share something make an interval no worse: their correlation is then seen.
    """

    task: Draws
    twin: Draws

    @property
    def true_excess(self) -> np.ndarray:
        """Give the difference of the rates on each study's own questions, `[repetition]`."""
        return self.task.these_questions - self.twin.these_questions

    @property
    def rates(self) -> tuple[np.ndarray, np.ndarray]:
        """Give the seeds' rates of both, each `[repetition, seed]`."""
        task, twin = (own.events.sum(-1) / own.sizes.sum(-1) for own in (self.task, self.twin))
        return task, twin


def draw_pairs(truth: Truth, repetitions: int, rng: np.random.Generator) -> Pairs:
    """Draw studies of a task as one truth has it, and of twins that are alike but for the rate."""
    twin = Truth(TWIN_RATE, truth.icc, TWIN_RATE, truth.seeds, truth.questions, truth.answers)
    return Pairs(draw_studies(truth, repetitions, rng), draw_studies(twin, repetitions, rng))


def bound_excess(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Give the ends of the interval that reports show, `[repetition]`."""
    found = [
        describe_excess(_cell(task, size), _cell(twin, twin_size))
        for task, size, twin, twin_size in zip(
            *(counts.sum(-1).tolist() for own in (pairs.task, pairs.twin) for counts in _both(own)),
            strict=True,
        )
    ]
    low, high = np.array([(each["low"], each["high"]) for each in found]).T
    return low, high


def _both(draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    return draws.events, draws.sizes


def _cell(events: list[int], sizes: list[int]) -> dict[str, list[dict[str, int]]]:
    return {
        "seeds": [
            {"seed": seed, "events": count, "eligible": size}
            for seed, (count, size) in enumerate(zip(events, sizes, strict=True))
        ]
    }
