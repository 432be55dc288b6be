"""What a design can see before anything is spent on it, and what more of it would buy."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from rankshift.analysis.contrast import Design
from rankshift.analysis.detection import find_smallest_height
from rankshift.analysis.intervals import FEWEST_SEEDS
from rankshift.analysis.peaks import name_reading, tabulate
from rankshift.inference import Analysis

OWN_SHARE = 0.5
"""Of what questions differ by, the share that is each finetune's own: a guess of ours. The rest is
the same for all ranks and seeds, so it is in no difference between ranks."""


@dataclass(frozen=True)
class Spread:
    """How rates scatter: guesses, or estimates from a pilot study."""

    rate: float = 0.2
    seed_deviation: float = 0.05
    """Between seeds, all ranks alike; comparisons within seeds are free of it."""
    question_icc: float = 0.15
    """Intraclass correlation of answers to one question.

    Source of the default: 0.15 to 0.32 in public judged answers to Betley et al.'s questions."""
    finetune_deviation: float = 0.04
    """Of one finetune (seed x rank), apart from the sampling of its answers."""
    source: str = "guesses"

    def deviate(self, questions: int, answers: float) -> float:
        """Give the standard deviation of one finetune's rate within its seed.

        The variance of finetunes, of what each has of its own on the questions, and of answers to
        one question: sums of squares as in a nested design (Cochran 1977, Sampling Techniques,
        10.3).

        Args:
            questions: How many are asked that share no answers.
            answers: To each.
        """
        of_one = self.rate * (1 - self.rate)
        own = self.question_icc * OWN_SHARE * of_one / questions
        sampling = (1 - self.question_icc) * of_one / (questions * answers)
        return math.sqrt(self.finetune_deviation**2 + own + sampling)


@dataclass(frozen=True)
class Power:
    """Smallest heights of a peak 3 octaves wide that are found in 80 % of repetitions."""

    ranks: tuple[int, ...]
    seeds: int
    questions: int
    answers: float
    """To each question; there may be unlike numbers, so the mean."""
    spread: Spread
    note: str | None
    """Why there is no height."""
    smallest: float | None = None
    one_more_seed: float | None = None
    twice_the_questions: float | None = None
    twice_the_answers: float | None = None


def find_power(
    ranks: Sequence[int], seeds: int, asked: tuple[int, float], spread: Spread, rules: Analysis
) -> Power:
    """Simulate a design and its neighbours by the test that will decide.

    Args:
        ranks: Rising.
        seeds: Of every rank.
        asked: Questions, and answers to each.
        spread: How rates are expected to scatter; errors are normal, independent and of one size.
        rules: What the verdict will be decided by.
    """
    questions, answers = asked
    found = Power(tuple(ranks), seeds, questions, answers, spread, None)
    if questions == 0:
        return replace(found, note="no free-form question is asked")
    if len(ranks) < 3:
        return replace(found, note="a peak needs at least 3 ranks")

    def find_height(seeds: int, questions: int, answers: float) -> float | None:
        if seeds < FEWEST_SEEDS:
            return None
        design = Design(((True,) * len(ranks),) * seeds, rules.widest_block)
        height = find_smallest_height(design, tuple(ranks), rules.level)
        return None if height is None else height * spread.deviate(questions, answers)

    smallest = find_height(seeds, questions, answers)
    few = f"with fewer than {FEWEST_SEEDS} seeds no peak is told from chance"
    return replace(
        found,
        note=few if seeds < FEWEST_SEEDS else None if smallest else "no peak is seen",
        smallest=smallest,
        one_more_seed=find_height(seeds + 1, questions, answers),
        twice_the_questions=find_height(seeds, 2 * questions, answers),
        twice_the_answers=find_height(seeds, questions, 2 * answers),
    )


def estimate_spread(results: dict[str, Any]) -> Spread | None:
    """Estimate how rates scatter from a pilot's results.json; None where its curves cannot tell.

    From the primary curve: the residual variance of seed and rank effects less that of sampling is
    the finetunes', what seeds' means vary by beyond it the seeds'. Both are cut at zero.

    Source: expected mean squares of two crossed ways, Searle, Casella and McCulloch 1992, Variance
    Components, 4.3.
    """
    peak = results["peak"]
    if peak is None:
        return None
    curve = next(
        curve
        for curve in (*results["curves"], *results["matched_curves"])
        if name_reading(curve) == peak["reading"]
        and all(curve.get(key) == value for key, value in peak["key"].items())
    )
    _, values, noise = tabulate(curve, peak["outcome"])
    complete = ~np.isnan(values).any(axis=1)
    values, noise = values[complete], noise[complete]
    num_seeds, num_ranks = values.shape
    if num_seeds < 2 or num_ranks < 2:
        return None
    centred = values - values.mean(axis=0)
    of_seeds = centred.mean(axis=1, keepdims=True)
    residual = float(np.square(centred - of_seeds).sum() / ((num_seeds - 1) * (num_ranks - 1)))
    between = float(np.square(of_seeds).sum() / (num_seeds - 1)) - residual / num_ranks
    correlations = [p["icc"] for p in curve["points"] if p.get("icc") is not None]
    return Spread(
        rate=float(values.mean()),
        seed_deviation=math.sqrt(max(between, 0.0)),
        question_icc=float(np.mean(correlations)) if correlations else Spread.question_icc,
        finetune_deviation=math.sqrt(max(residual - float(noise.mean()), 0.0)),
        source=f"estimates from {results['study']['name']}",
    )


def tell_power(power: Power) -> list[str]:
    """Say what a design can see, in lines for the terminal."""
    spread = power.spread
    if power.smallest is None:
        lines = [f"{power.note}"]
    else:
        lines = [
            f"a peak 3 octaves wide and {_points(power.smallest)} high is found 8 times in 10, "
            f"with {len(power.ranks)} ranks, {power.seeds} seeds, {power.questions} questions"
        ]
    buys = asdict(power)
    changes = ("one_more_seed", "twice_the_questions", "twice_the_answers")
    told = [f"{name.replace('_', ' ')} {_points(buys[name])}" for name in changes if buys[name]]
    if told:
        lines.append(f"with {', '.join(told)}")
    lines.append(
        f"{spread.source}: rate {spread.rate:.2f}, SD of seeds {spread.seed_deviation:.3f} and of "
        f"seed x rank {spread.finetune_deviation:.3f}, question ICC {spread.question_icc:.2f}"
    )
    return lines


def _points(height: float) -> str:
    return f"{100 * height:.1f} points"
