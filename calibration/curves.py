"""True curves over rank and the noise around them, as seeds, questions and answers make it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from rankshift.analysis.critical import Noise
from rankshift.analysis.detection import shape_peak

OCTAVES_GRID = tuple(2**at for at in range(11))
POST_GRID = (1, 2, 4, 8, 16, 32, 48, 64, 128, 256, 512)
SHORT_GRID = (2, 8, 32, 64, 128, 512)

Draw = Callable[[np.random.Generator, int, np.ndarray], tuple[np.ndarray, np.ndarray | None]]
"""Draws rates `[draw, seed, rank]` of so many draws about a curve `[seed, rank]`, and what of their
variance is known to be sampling."""


def list_peakless(num_ranks: int) -> dict[str, np.ndarray]:
    """Give true rates at each rank where there is no peak."""
    at = np.arange(num_ranks)
    return {
        "flat": np.full(num_ranks, 0.3),
        "saturating": 0.05 + 0.5 * (1 - np.exp(-at / 1.5)),
        "decreasing": 0.6 - 0.5 * at / (num_ranks - 1),
        "step-up": np.where(at > 0, 0.6, 0.05),
        "step-up-halfway": np.where(at >= num_ranks // 2, 0.6, 0.05),
        "step-down": np.where(at < num_ranks - 1, 0.6, 0.05),
        "valley": np.where((at > 0) & (at < 3), 0.05, 0.6),
    }


def list_peaks(ranks: tuple[int, ...], height: float = 0.1) -> dict[str, np.ndarray]:
    """Give peaks three octaves wide over a flat curve: a bell, by its half height, and a plateau.

    The plateau holds the ranks that lie within 1.5 octaves of the middle one.
    """
    octaves = np.abs(np.log2(np.array(ranks) / ranks[len(ranks) // 2]))
    return {
        "peak": 0.2 + height * shape_peak(ranks),
        "plateau": 0.2 + height * (octaves <= 1.5),
    }


@dataclass(frozen=True)
class Disturbance:
    """One way in which rates scatter about their truth."""

    name: str
    draw: Draw
    kind: str
    """`equal` errors, or `worst`, for which the bar is higher."""


def list_disturbances(num_ranks: int) -> list[Disturbance]:
    """List independent equal errors first, then what goes wrong in real data."""
    at = np.arange(num_ranks)
    equal = np.full(num_ranks, 0.05)
    patterns = {
        "rising": np.linspace(0.02, 0.1, num_ranks),
        "falling": np.linspace(0.1, 0.02, num_ranks),
        "upper-half": np.where(at > num_ranks // 2, 0.1, 0.02),
        "lower-half": np.where(at < num_ranks // 2, 0.1, 0.02),
        "alternating": np.where(at % 2, 0.1, 0.02),
        "two-wild": np.where(np.isin(at, (num_ranks // 2, num_ranks - 2)), 0.1, 0.02),
    }
    listed = [
        Disturbance("equal", _normal(equal, 0.0), "equal"),
        Disturbance("equal, AR 0.5", _normal(equal, 0.5), "worst"),
    ]
    for name, deviations in patterns.items():
        listed.append(Disturbance(name, _normal(deviations, 0.0), "worst"))
        listed.append(Disturbance(f"{name}, AR 0.5", _normal(deviations, 0.5), "worst"))
    return [*listed, Disturbance("counts", draw_counts, "worst")]


def _normal(deviations: np.ndarray, correlation: float) -> Draw:
    noise = Noise(tuple(deviations.tolist()), correlation)

    def draw(
        rng: np.random.Generator, draws: int, curve: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        of_seeds = rng.normal(0, 0.07, (draws, curve.shape[0], 1))
        return curve + of_seeds + noise.draw(rng, draws, curve.shape[0]), None

    return draw


def draw_equal(deviation: float, num_ranks: int) -> Draw:
    """Make a draw of independent normal errors of one size, beside the seeds' own."""
    return _normal(np.full(num_ranks, deviation), 0.0)


def draw_counts(
    rng: np.random.Generator, draws: int, curve: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draw counts of 24 questions of 10 answers, and give rates with their binomial variances.

    On the logit scale questions differ by 1.1 (an intraclass correlation of about 0.18 at a rate of
    0.3), each finetune by 0.4 more on each question, seeds by 0.35 (0.07 in rate) and finetunes by
    0.2 (0.04 in rate).
    """
    questions, answers = 24, 10
    num_seeds, num_ranks = curve.shape
    logits = (
        logit(curve)[None, :, :, None]
        + rng.normal(0, 1.1, (draws, 1, 1, questions))
        + rng.normal(0, 0.4, (draws, num_seeds, num_ranks, questions))
        + rng.normal(0, 0.35, (draws, num_seeds, 1, 1))
        + rng.normal(0, 0.2, (draws, num_seeds, num_ranks, 1))
    )
    events = rng.binomial(answers, expit(logits)).sum(axis=-1)
    total = questions * answers
    share = (events + 0.5) / (total + 1)
    return events / total, share * (1 - share) / total
