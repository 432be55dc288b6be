"""Intervals that were tried and lost: they are shown beside ours, on the same simulated studies."""

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from rankshift.analysis.clustering import estimate_design_effect
from rankshift.analysis.crossed import cross_seeds_and_questions
from rankshift.analysis.intervals import LEVEL, exact_ends, shrink_for_degrees

Ends = tuple[np.ndarray, np.ndarray]

QUANTILE = (1 + LEVEL) / 2


def bound_by_logits_of_seeds(events: np.ndarray, sizes: np.ndarray) -> Ends:
    """Give Student's t on the seeds' empirical logits, never narrower than sampling alone.

    The mean of the logits is not the logit of the mean: where seeds differ much and there are many
    of them, the interval closes in on the wrong value.

    Args:
        events: `[..., seed]`.
        sizes: Same shape.

    Source: Gart and Zweifel 1967, Biometrika 54, 181-187 (the logits and their variance).
    """
    hits, others, seeds = events + 0.5, sizes - events + 0.5, events.shape[-1]
    logits = np.log(hits / others)
    middle = logits.mean(-1)
    between = stats.t.ppf(QUANTILE, seeds - 1) * stats.sem(logits, axis=-1)
    sampling = stats.norm.ppf(QUANTILE) * np.sqrt(np.sum(1 / hits + 1 / others, -1)) / seeds
    reach = np.maximum(between, sampling)
    mean = (events / sizes).mean(-1)
    return np.minimum(expit(middle - reach), mean), np.maximum(expit(middle + reach), mean)


def bound_by_logit_of_mean(events: np.ndarray, sizes: np.ndarray) -> Ends:
    """Give Student's t on the logit of the mean, with the crossed variance by the delta method.

    Where there is no event it has no width, so it is everything or nothing: taken as nothing.

    Args:
        events: `[..., seed, question]`.
        sizes: Same shape.

    Source: Korn and Graubard 1998, Survey Methodology 24(2), 193-201 (the logit interval).
    """
    crossed = cross_seeds_and_questions(events, sizes)
    rate = np.asarray(crossed.rate)
    mixed = np.asarray((rate > 0) & (rate < 1))
    inner = np.where(mixed, rate, 0.5)
    error = np.sqrt(crossed.variance) / (inner * (1 - inner))
    reach = stats.t.ppf(QUANTILE, crossed.degrees) * error
    low, high = expit(logit(inner) - reach), expit(logit(inner) + reach)
    return np.where(mixed, low, rate), np.where(mixed, high, rate)


def bound_without_prior(events: np.ndarray, sizes: np.ndarray) -> Ends:
    """Give one arm's interval with the design effect as estimated, however few events show it.

    Args:
        events: Of each cluster of questions, `[..., cluster]`.
        sizes: Same shape.

    Source: Korn and Graubard 1998, Survey Methodology 24(2), 193-201, as published.
    """
    answers = sizes.sum(-1, dtype=float)
    design_effect = np.fmax(estimate_design_effect(events, sizes), 1.0)
    shrink = shrink_for_degrees(answers, sizes.shape[-1] - 1.0)
    low, high = exact_ends(events.sum(-1) / answers, answers / design_effect * shrink)
    return np.asarray(low), np.asarray(high)


def bound_by_paired_t(task: np.ndarray, twin: np.ndarray) -> Ends:
    """Give Student's t of the seeds' differences.

    Even on both sides, which rates near an end are not.

    Args:
        task: Rate of each seed, `[..., seed]`.
        twin: Of the twin with the same seed, same shape.
    """
    difference = task - twin
    middle = difference.mean(-1)
    reach = stats.t.ppf(QUANTILE, task.shape[-1] - 1) * stats.sem(difference, axis=-1)
    return middle - reach, middle + reach
