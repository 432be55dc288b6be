"""Simulated studies whose true rates are known: seeds and questions crossed, answers alike.

An answer of seed s to question q is an event with probability

    Phi(m + f a_q + g b_s + h i_sq),    a, b, i independent standard normals,

so every mean over questions, seeds or both is a probability of a normal and needs no simulation.
f, g and h are found from what real data are described by: the rate, how far answers of one arm to
one question are alike (ICC), and how much arms that differ by seed differ (SD of their rates).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import optimize
from scipy.special import ndtr, ndtri

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(41)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
FEW_NODES, FEW_WEIGHTS = np.polynomial.hermite_e.hermegauss(13)
FEW_WEIGHTS = FEW_WEIGHTS / FEW_WEIGHTS.sum()

INTERACTION = 0.2
"""Share of what makes answers to a question alike that is one arm's own."""

COHERENCE_SPREAD = 0.8
"""SD over questions and seeds of coherence, on the normal scale."""
LOST_WITH_QUESTION, LOST_WITH_SEED = 0.6, 0.4
"""Correlation of misalignment with the lack of coherence, over questions and over seeds.

Misaligned answers are lost to incoherence more often than others: in public judged answers the
scores of alignment and coherence have a correlation of 0.73 to 0.80.
"""


@dataclass(frozen=True)
class Truth:
    """What is true of one simulated cell: one rank, several seeds, several questions."""

    rate: float
    """Of events among answers that count, over all seeds and questions."""
    icc: float
    """Of answers of one arm to one question; of all answers, those that do not count included."""
    seed_sd: float
    """SD over seeds of an arm's rate over all questions; likewise."""
    seeds: int
    questions: int
    answers: int
    """A question and seed."""
    coherent: float = 1.0
    """Share of answers that count; below 1 it falls with misalignment."""

    @property
    def name(self) -> str:
        """Name the truth without spaces."""
        parts = f"rate-{self.rate:.2f}/icc-{self.icc:.2f}/sd-{self.seed_sd:.2f}/"
        parts += f"seeds-{self.seeds}/questions-{self.questions}/answers-{self.answers}"
        return parts + (f"/coherent-{self.coherent:.1f}" if self.coherent < 1 else "")


@dataclass(frozen=True)
class Loadings:
    """Weights of the normals behind an event, on the normal scale."""

    middle: float
    question: float
    seed: float
    interaction: float

    @property
    def noise(self) -> float:
        """Give the SD of an answer about its seed and question, their interaction included."""
        return float(np.sqrt(1 + self.interaction**2))


@dataclass(frozen=True)
class Draws:
    """Simulated studies of one truth."""

    events: np.ndarray
    """`[repetition, seed, question]`."""
    sizes: np.ndarray
    """Answers that count; same shape."""
    these_questions: np.ndarray
    """Mean rate over all seeds on the questions drawn, `[repetition]`."""
    new_questions: float
    """Mean rate over all seeds on all questions."""


def draw_studies(truth: Truth, repetitions: int, rng: np.random.Generator) -> Draws:
    """Draw studies of one truth, with what each of the two targets is in each."""
    shape = (repetitions, truth.seeds, truth.questions)
    sizes = np.full(shape, truth.answers)
    if truth.rate == 0:
        return Draws(np.zeros(shape), sizes, np.zeros(repetitions), 0.0)
    loads = find_loadings(truth.rate, truth.icc, truth.seed_sd, truth.coherent)
    question, own = rng.normal(size=(2, repetitions, 1, truth.questions))
    seed = rng.normal(size=(repetitions, truth.seeds, 1))
    raised = loads.interaction * rng.normal(size=shape)
    chance = ndtr(loads.middle + loads.question * question + loads.seed * seed + raised)
    if truth.coherent < 1:
        sizes = rng.binomial(truth.answers, _coherence(truth.coherent, question, seed, own))
    these = _mean_over_seeds(loads, truth.coherent, question, own)
    return Draws(rng.binomial(sizes, chance), sizes, these, truth.rate)


@cache
def find_loadings(rate: float, icc: float, seed_sd: float, coherent: float = 1.0) -> Loadings:
    """Find the weights that give a rate, an ICC and an SD over seeds.

    ICC and SD are those of all answers; where not all count, the middle is then moved until the
    rate is that of those that do, as it is over all seeds and questions.
    """
    alike, seed = _solve(rate, icc, seed_sd)
    question, interaction = alike * np.sqrt([1 - INTERACTION, INTERACTION])
    middle = ndtri(rate) * np.sqrt(1 + alike**2 + seed**2)
    loads = Loadings(middle, question, seed, interaction)
    if coherent == 1:
        return loads

    def overshoot(shift: float) -> float:
        moved = Loadings(middle + shift, question, seed, interaction)
        return rate_over_all(moved, coherent) - rate

    return Loadings(middle + optimize.brentq(overshoot, -2.0, 4.0), question, seed, interaction)


def _solve(rate: float, icc: float, seed_sd: float) -> tuple[float, float]:
    """Find the normal-scale SD of a question to an arm, and of a seed; 0 where seeds are alike."""

    def miss(logs: np.ndarray) -> np.ndarray:
        alike, seed = np.exp(logs[0]), np.exp(logs[1]) if seed_sd else 0.0
        middle = ndtri(rate) * np.sqrt(1 + alike**2 + seed**2)
        by_seed = ndtr((middle + seed * NODES) / np.sqrt(1 + alike**2))
        cells = ndtr(middle + seed * NODES + alike * NODES[:, None])
        of_seeds = WEIGHTS @ np.square(by_seed)
        of_cells = WEIGHTS @ np.square(cells) @ WEIGHTS
        found = (of_cells - of_seeds) / (rate * (1 - rate)), of_seeds - rate**2
        likeness = np.log(found[0] / icc)
        return np.array([likeness, np.log(found[1] / seed_sd**2) if seed_sd else 0.0])

    usual_seed = 2 * seed_sd / np.sqrt(rate * (1 - rate)) if seed_sd else 1.0
    start = np.log([np.sqrt(icc / (1 - icc)), usual_seed])
    found = optimize.least_squares(miss, start, bounds=(-4, 2))
    assert np.abs(miss(found.x)).max() < 1e-6, f"no such truth: {rate}, {icc}, {seed_sd}"
    alike, seed = np.exp(found.x)
    return float(alike), float(seed) if seed_sd else 0.0


def rate_over_all(loads: Loadings, coherent: float) -> float:
    """Integrate the rate of answers that count over questions, then over seeds."""
    question, own, seed = NODES[:, None, None], NODES[:, None], NODES
    counts = _coherence(coherent, question, seed, own)
    chance = ndtr((loads.middle + loads.question * question + loads.seed * seed) / loads.noise)
    weights = WEIGHTS[:, None, None] * WEIGHTS[:, None]
    by_seed = np.sum(weights * counts * chance, (0, 1)) / np.sum(weights * counts, (0, 1))
    return float(by_seed @ WEIGHTS)


def _mean_over_seeds(
    loads: Loadings, coherent: float, question: np.ndarray, own: np.ndarray
) -> np.ndarray:
    """Integrate the rate on given questions `[repetition, 1, question]` over seeds."""
    if coherent == 1:
        spread = np.sqrt(loads.noise**2 + loads.seed**2)
        return ndtr((loads.middle + loads.question * question) / spread).mean((-2, -1))
    means = np.zeros(len(question))
    for seed, weight in zip(FEW_NODES, FEW_WEIGHTS, strict=True):
        counts = _coherence(coherent, question, seed, own)
        chance = ndtr((loads.middle + loads.question * question + loads.seed * seed) / loads.noise)
        means += weight * ((counts * chance).sum((-2, -1)) / counts.sum((-2, -1)))
    return means


def _coherence(
    coherent: float, question: np.ndarray, seed: np.ndarray | float, own: np.ndarray
) -> np.ndarray:
    """Give the share of answers that are coherent, for a question and a seed."""
    left = np.sqrt(1 - LOST_WITH_QUESTION**2 - LOST_WITH_SEED**2)
    raised = left * own - LOST_WITH_QUESTION * question - LOST_WITH_SEED * seed
    return ndtr(ndtri(coherent) * np.sqrt(1 + COHERENCE_SPREAD**2) + COHERENCE_SPREAD * raised)
