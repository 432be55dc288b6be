"""How sure we are: of one arm over its questions, and of a cell of the grid over its seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from rankshift.analysis.rates import Rate, pool

LEVEL = 0.95
"""Nominal coverage of every interval."""

FEWEST_SEEDS = 3
FEWEST_CLUSTERS = 5

TOO_FEW_SEEDS = "too few seeds"
TOO_FEW_CLUSTERS = "too few clusters"
NOTHING_COUNTED = "nothing to count"


@dataclass(frozen=True)
class Interval:
    """Two ends, or a note that says why there are none."""

    low: float | None
    high: float | None
    note: str | None = None


def interval_over_clusters(clusters: Sequence[Rate]) -> Interval:
    """Give one arm's interval: how its rate would vary over other questions of the same kind.

    Answers to one question resemble each other, so n answers count as fewer: n is divided by the
    design effect (the variance of the ratio estimator over clusters relative to independent
    answers, never taken below 1) and shrunk for the clusters' few degrees of freedom. The exact
    binomial interval (Clopper and Pearson) is then taken at that effective n. Where no answer or
    every answer is an event there is no variance to see and the design effect is taken as 1.

    Args:
        clusters: Counts of each cluster of questions; those that count nothing are left out.

    Source: Korn and Graubard 1998, Survey Methodology 24(2), 193-201; the cap as in Parker et al.
    2017, Vital and Health Statistics 2(175).
    """
    counted = [cluster for cluster in clusters if cluster.eligible]
    total = pool(counted)
    if total.eligible == 0:
        return Interval(None, None, NOTHING_COUNTED)
    if len(counted) < FEWEST_CLUSTERS:
        return Interval(None, None, TOO_FEW_CLUSTERS)
    events = np.array([cluster.events for cluster in counted], float)
    sizes = np.array([cluster.eligible for cluster in counted], float)
    return exact_interval(total.rate, count_effective_answers(events, sizes, total.eligible))


def count_effective_answers(events: np.ndarray, sizes: np.ndarray, answers: float) -> float:
    """Count how many independent answers clusters of them are worth.

    Args:
        events: What was counted of each cluster, `[cluster]`; sums of weights where they weigh.
        sizes: Out of how many, `[cluster]`; none is 0.
        answers: Answers in all; with weights their equivalent in equal ones (Kish).

    Source: as for `interval_over_clusters`.
    """
    degrees = (max(answers - 1, 1), max(len(sizes) - 1, 1))
    if_independent, if_clustered = stats.t.ppf((1 + LEVEL) / 2, degrees)
    shrink = min(float(if_independent / if_clustered), 1.0)
    return answers / _design_effect(events, sizes, answers) * shrink**2


def exact_interval(rate: float, answers: float) -> Interval:
    """Give the exact binomial interval; the number of answers need not be whole.

    Source: Clopper and Pearson 1934, Biometrika 26(4), 404-413, as quantiles of the beta.
    """
    tail = (1 - LEVEL) / 2
    events = rate * answers
    low = stats.beta.ppf(tail, events, answers - events + 1) if rate > 0 else 0.0
    high = stats.beta.ppf(1 - tail, events + 1, answers - events) if rate < 1 else 1.0
    return Interval(float(low), float(high))


def interval_over_seeds(seeds: Sequence[Rate]) -> Interval:
    """Give the interval of a cell's rate on these questions: how it would vary over other seeds.

    Student's t on the empirical logits of the seeds' rates, log((x + 1/2) / (n - x + 1/2)), with
    S - 1 degrees of freedom. Seeds that agree by chance, as all do where none has an event, would
    leave an interval of no width; it is therefore never narrower than the normal interval from
    sampling alone, with variance 1 / (x + 1/2) + 1 / (n - x + 1/2) a seed. It is widened where need
    be to hold the mean of the seeds' rates, which is what it is about.

    Args:
        seeds: Counts of each seed; those that count nothing are left out.

    Source: the empirical logit and its variance are Gart and Zweifel 1967, Biometrika 54, 181-187.
    """
    counted = [seed for seed in seeds if seed.eligible]
    if not counted:
        return Interval(None, None, NOTHING_COUNTED)
    if len(counted) < FEWEST_SEEDS:
        return Interval(None, None, TOO_FEW_SEEDS)
    events = np.array([seed.events for seed in counted]) + 0.5
    others = np.array([seed.eligible - seed.events for seed in counted]) + 0.5
    logits = np.log(events / others)
    quantile = (1 + LEVEL) / 2
    between = stats.t.ppf(quantile, len(counted) - 1) * stats.sem(logits)
    sampling = stats.norm.ppf(quantile) * math.sqrt(np.sum(1 / events + 1 / others)) / len(counted)
    reach = max(between, sampling)
    low, high = expit(logits.mean() - reach), expit(logits.mean() + reach)
    mean = mean_over_seeds(counted)
    return Interval(float(min(low, mean)), float(max(high, mean)))


def mean_over_seeds(seeds: Sequence[Rate]) -> float:
    """Give the mean of the seeds' rates, each seed counting once; NaN when none counts anything."""
    rates = [seed.rate for seed in seeds if seed.eligible]
    return float(np.mean(rates)) if rates else math.nan


def interval_of_mean(values: Sequence[float]) -> Interval:
    """Give Student's t interval of a mean over seeds, in the values' unit."""
    if len(values) < FEWEST_SEEDS:
        return Interval(None, None, TOO_FEW_SEEDS)
    mean, error = np.mean(values), stats.sem(values)
    reach = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * error
    return Interval(float(mean - reach), float(mean + reach))


def interval_over_value_clusters(
    clusters: Sequence[Sequence[float]], *, is_share: bool
) -> Interval:
    """Give the interval of one arm's mean of a quantity measured once a question.

    How it would vary over other questions of the same kind: Student's t with the standard error of
    a ratio over clusters and one degree of freedom less than there are clusters. A share is treated
    on the logit scale, its error by the delta method, so that the ends stay inside 0..1.

    Args:
        clusters: The values of each cluster of questions; none is empty.
        is_share: Whether every value is from 0 to 1.

    Source: Cochran 1977, Sampling Techniques, section 6.3 (ratio) and 11.2 (clusters); logit as in
    Korn and Graubard 1998, Survey Methodology 24(2), 193-201.
    """
    if len(clusters) < FEWEST_CLUSTERS:
        return Interval(None, None, TOO_FEW_CLUSTERS)
    number, total = len(clusters), sum(map(len, clusters))
    mean = math.fsum(value for own in clusters for value in own) / total
    residuals = [math.fsum(own) - mean * len(own) for own in clusters]
    error = math.sqrt(number / (number - 1) * math.fsum(r * r for r in residuals)) / total
    reach = float(stats.t.ppf((1 + LEVEL) / 2, number - 1)) * error
    if not is_share:
        return Interval(mean - reach, mean + reach)
    if not 0 < mean < 1:
        return Interval(mean, mean)
    middle, width = logit(mean), reach / (mean * (1 - mean))
    return Interval(float(expit(middle - width)), float(expit(middle + width)))


def _design_effect(events: np.ndarray, sizes: np.ndarray, answers: float) -> float:
    """Give the variance of a ratio over clusters relative to independent answers; at least 1.

    Source: the linearised variance of a ratio, Cochran 1977, Sampling Techniques, section 6.3.
    """
    total, number = sizes.sum(), len(sizes)
    rate = events.sum() / total
    independent = rate * (1 - rate) / max(answers - 1, 1)
    if independent <= 0 or number < 2:
        return 1.0
    residuals = events - rate * sizes
    clustered = number / (number - 1) * np.sum(np.square(residuals)) / total**2
    return max(float(clustered / independent), 1.0)
