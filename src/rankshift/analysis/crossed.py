"""How a cell's rate would vary over other seeds and other questions at once: both are samples."""

from dataclasses import dataclass

import numpy as np

from rankshift.analysis.clustering import Numbers, allow_for_few_events
from rankshift.analysis.intervals import (
    bound_over_seeds,
    count_equal_answers,
    exact_ends,
    shrink_for_degrees,
)


@dataclass(frozen=True)
class Crossed:
    """Seeds and questions crossed, for any number of tables at once; every array is `[...]`."""

    rate: Numbers
    """Mean of the seeds' rates."""
    variance: Numbers
    """Of that mean, over both samples."""
    degrees: Numbers
    """Of freedom, of the variance."""
    seed: Numbers
    """Variance component: between seeds, over all questions."""
    question: Numbers
    """Between questions, over all seeds."""
    interaction: Numbers
    """Of a seed on a question beyond both, sampling of answers included."""
    design_effect: Numbers
    """The variance relative to that of as many independent answers; NaN where all are alike."""


def cross_seeds_and_questions(events: np.ndarray, sizes: np.ndarray) -> Crossed:
    """Split the spread of a table of rates into seeds, questions and the rest.

    The variance of the mean over both is (MS_seed + MS_question - MS_interaction) / (S Q), and its
    degrees of freedom Satterthwaite's. A mean square below that of the interaction is taken as
    equal to it, so no component is below 0. Denominators may differ and cells be empty: a cell's
    value is its seed's rate and the cell's share of that rate's residual, which is the cell's own
    rate where all have equally many answers.

    Args:
        events: `[..., seed, question]`, at least two of each.
        sizes: Answers that count, same shape; 0 for an empty cell, above 0 in every seed.

    Source: the crossed random-effects variance of a mean, Searle, Casella and McCulloch 1992,
    Variance Components, chapter 4 (also Owen 2007, Annals of Applied Statistics 1(2), 386-411);
    degrees, Satterthwaite 1946, Biometrics Bulletin 2, 110-114; residuals of a ratio, Cochran 1977,
    Sampling Techniques, section 6.3. Degrees are never taken below those of the fewer of both.
    """
    num_seeds, num_questions = sizes.shape[-2:]
    cells = num_seeds * num_questions
    totals = sizes.sum(-1)
    rates = events.sum(-1) / totals
    residuals = events - rates[..., None] * sizes
    values = rates[..., None] + residuals * num_questions / totals[..., None]
    rate = rates.mean(-1)
    by_question = values.mean(-2)
    seed_square = num_questions * rates.var(-1, ddof=1)
    question_square = num_seeds * by_question.var(-1, ddof=1)
    rest = values - rates[..., None] - by_question[..., None, :] + rate[..., None, None]
    degrees_of_rest = (num_seeds - 1) * (num_questions - 1)
    rest_square = np.square(rest).sum((-2, -1)) / degrees_of_rest
    seed_part = np.maximum(seed_square - rest_square, 0.0)
    question_part = np.maximum(question_square - rest_square, 0.0)
    total = seed_part + question_part + rest_square
    error = (
        np.square(seed_square) / (num_seeds - 1)
        + np.square(question_square) / (num_questions - 1)
        + np.square(rest_square) / degrees_of_rest
    )
    varies = total > 0
    fewest = min(num_seeds, num_questions) - 1
    degrees = np.square(total) / np.where(varies, error, 1.0)
    answers = count_equal_answers(totals)
    independent = rate * (1 - rate) / np.maximum(answers - 1, 1)
    is_mixed = independent > 0
    return Crossed(
        rate=rate,
        variance=total / cells,
        degrees=np.where(varies, np.maximum(degrees, fewest), num_questions - 1.0)[()],
        seed=seed_part / num_questions,
        question=question_part / num_seeds,
        interaction=rest_square,
        design_effect=np.where(
            is_mixed, total / cells / np.where(is_mixed, independent, 1.0), np.nan
        )[()],
    )


def bound_new_questions(events: np.ndarray, sizes: np.ndarray) -> tuple[Crossed, Numbers, Numbers]:
    """Give the ends of the interval of the mean rate over other seeds and other questions.

    The exact binomial interval at the number of independent answers that the crossed variance is
    worth, as for one arm over its questions; the same allowance is made for few events. It is never
    narrower than the interval on these questions: one that speaks of more cannot be surer.

    Args:
        events: `[..., seed, question]`.
        sizes: As for `cross_seeds_and_questions`; no question is empty in every seed.

    Returns:
        The components, low and high, `[...]`.

    Source: Korn and Graubard 1998, Survey Methodology 24(2), 193-201, with the crossed variance;
    docs/method.md compares it with Student's t on the logit scale.
    """
    crossed = cross_seeds_and_questions(events, sizes)
    answers = count_equal_answers(sizes.sum(-1))
    found = np.fmax(crossed.design_effect, 1.0)
    design_effect = allow_for_few_events(found, events.sum((-2, -1), dtype=float), sizes.sum(-2))
    effective = answers / design_effect * shrink_for_degrees(answers, crossed.degrees)
    low, high = exact_ends(crossed.rate, effective)
    these_low, these_high = bound_over_seeds(events.sum(-1), sizes.sum(-1))
    return crossed, np.minimum(low, these_low), np.maximum(high, these_high)
