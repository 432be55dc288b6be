"""How sure we are: of one arm over its questions, and of a cell of the grid over its seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from rankshift.analysis.clustering import Numbers, allow_for_few_events, estimate_design_effect
from rankshift.analysis.rates import Rate

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

    Args:
        clusters: Counts of each cluster of questions; those that count nothing are left out.

    Source: as for `bound_over_clusters`.
    """
    counted = [cluster for cluster in clusters if cluster.eligible]
    if not counted:
        return Interval(None, None, NOTHING_COUNTED)
    if len(counted) < FEWEST_CLUSTERS:
        return Interval(None, None, TOO_FEW_CLUSTERS)
    low, high = bound_over_clusters(*count_each(counted))
    return Interval(float(low), float(high))


def bound_over_clusters(events: np.ndarray, sizes: np.ndarray) -> tuple[Numbers, Numbers]:
    """Give the ends of one arm's interval over clusters of questions.

    Answers to one question resemble each other, so n answers count as fewer: n is divided by the
    design effect (the variance of the ratio estimator over clusters relative to independent
    answers, never taken below 1, and raised where it rests on few events) and shrunk for the
    clusters' few degrees of freedom. The exact binomial interval (Clopper and Pearson) is then
    taken at that effective n.

    Args:
        events: Of each cluster, `[..., cluster]`.
        sizes: Out of how many, above 0, same shape.

    Returns:
        Low and high, `[...]`.

    Source: Korn and Graubard 1998, Survey Methodology 24(2), 193-201; the cap as in Parker et al.
    2017, Vital and Health Statistics 2(175); few events: `allow_for_few_events`.
    """
    answers, all_events = sizes.sum(-1, dtype=float), events.sum(-1, dtype=float)
    found = np.fmax(estimate_design_effect(events, sizes), 1.0)
    design_effect = allow_for_few_events(found, all_events, sizes)
    shrink = shrink_for_degrees(answers, sizes.shape[-1] - 1.0)
    return exact_ends(all_events / answers, answers / design_effect * shrink)


def count_each(rates: Sequence[Rate]) -> tuple[np.ndarray, np.ndarray]:
    """Give the events and the sizes of rates, each `[rate]`."""
    return (
        np.array([rate.events for rate in rates], float),
        np.array([rate.eligible for rate in rates], float),
    )


def count_effective_answers(events: np.ndarray, sizes: np.ndarray, answers: float) -> float:
    """Count how many independent answers clusters of them are worth.

    Args:
        events: What was counted of each cluster, `[cluster]`; sums of weights where they weigh.
        sizes: Out of how many, `[cluster]`; none is 0.
        answers: Answers in all; with weights their equivalent in equal ones (Kish).

    Source: as for `bound_over_clusters`, without the allowance for few events.
    """
    design_effect = np.fmax(estimate_design_effect(events, sizes, answers), 1.0)
    return float(answers / design_effect * shrink_for_degrees(answers, len(sizes) - 1.0))


def shrink_for_degrees(answers: Numbers, degrees: Numbers) -> Numbers:
    """Say what share of the answers counts where their variance rests on few degrees of freedom.

    The squared ratio of Student's quantiles, with as many degrees as answers over those there are;
    at most 1.

    Source: Korn and Graubard 1998, Survey Methodology 24(2), 193-201.
    """
    quantile = (1 + LEVEL) / 2
    if_independent = stats.t.ppf(quantile, np.maximum(answers - 1, 1))
    if_clustered = stats.t.ppf(quantile, np.maximum(degrees, 1))
    return np.minimum(if_independent / if_clustered, 1.0) ** 2


def exact_interval(rate: float, answers: float) -> Interval:
    """Give the exact binomial interval; the number of answers need not be whole.

    Source: as for `exact_ends`.
    """
    low, high = exact_ends(rate, answers)
    return Interval(float(low), float(high))


def exact_ends(rate: Numbers, answers: Numbers) -> tuple[Numbers, Numbers]:
    """Give the ends of the exact binomial interval; the numbers of answers need not be whole.

    Args:
        rate: Share of events, `[...]`.
        answers: Out of how many, above 0, `[...]`.

    Source: Clopper and Pearson 1934, Biometrika 26(4), 404-413, as quantiles of the beta.
    """
    tail = (1 - LEVEL) / 2
    events, others = rate * answers, (1 - rate) * answers
    some, not_all = rate > 0, rate < 1
    # The beta has no parameter 0: such an end is an edge, whatever stands in for it here.
    low = stats.beta.ppf(tail, np.where(some, events, 1.0), others + 1)
    high = stats.beta.ppf(1 - tail, events + 1, np.where(not_all, others, 1.0))
    return np.where(some, low, 0.0)[()], np.where(not_all, high, 1.0)[()]


def interval_over_seeds(seeds: Sequence[Rate]) -> Interval:
    """Give the interval of a cell's rate on these questions: how it would vary over other seeds.

    Args:
        seeds: Counts of each seed; those that count nothing are left out.

    Source: as for `bound_over_seeds`.
    """
    counted = [seed for seed in seeds if seed.eligible]
    if not counted:
        return Interval(None, None, NOTHING_COUNTED)
    if len(counted) < FEWEST_SEEDS:
        return Interval(None, None, TOO_FEW_SEEDS)
    low, high = bound_over_seeds(*count_each(counted))
    return Interval(float(low), float(high))


def bound_over_seeds(events: np.ndarray, sizes: np.ndarray) -> tuple[Numbers, Numbers]:
    """Give the ends of the interval of the mean rate over seeds, the questions being fixed.

    The doubt about the mean of S rates, known to S - 1 degrees of freedom, is turned into a number
    of independent answers that would leave the same, and the exact binomial interval is taken at
    that number. Seeds that agree by chance, as all do where none has an event, still leave the
    noise of sampling: the number is never above that of the answers.

    Args:
        events: Of each seed, `[..., seed]`.
        sizes: Out of how many, above 0, `[..., seed]`.

    Returns:
        Low and high, `[...]`.

    Source: Korn and Graubard 1998, Survey Methodology 24(2), 193-201, with seeds for clusters of
    equal weight. docs/method.md compares it with Student's t on the logits of the seeds.
    """
    rate, seeds = (events / sizes).mean(-1), sizes.shape[-1]
    answers = count_equal_answers(sizes)
    variance = estimate_variance_over_seeds(events, sizes)
    spread = np.maximum(variance, np.finfo(float).tiny)  # none at all: no limit from the seeds
    limit = rate * (1 - rate) / spread * shrink_for_degrees(answers, seeds - 1.0)
    return exact_ends(rate, np.where(variance > 0, np.minimum(limit, answers), answers)[()])


def estimate_variance_over_seeds(events: np.ndarray, sizes: np.ndarray) -> Numbers:
    """Estimate the variance of the mean of the seeds' rates: the larger of two.

    One is that of the rates over S. Few seeds of a rare event are skewed: where the mean comes out
    low, so does their variance, and the interval ends below the truth. The other is that of their
    empirical logits over S, carried to rates by (p (1 - p))^2, which hangs less on the mean.

    Args:
        events: Of each seed, `[..., seed]`.
        sizes: Out of how many, above 0, `[..., seed]`.

    Returns:
        `[...]`.

    Source: empirical logits, Gart and Zweifel 1967, Biometrika 54, 181-187. Taking the larger is
    ours.
    """
    rates, seeds = events / sizes, sizes.shape[-1]
    rate = rates.mean(-1)
    logits = np.log((events + 0.5) / (sizes - events + 0.5))
    by_logits = logits.var(-1, ddof=1) * np.square(rate * (1 - rate))
    return np.maximum(rates.var(-1, ddof=1), by_logits) / seeds


def count_equal_answers(sizes: np.ndarray) -> Numbers:
    """Count how many answers, shared out equally, tell as much of the mean of the seeds' rates.

    Args:
        sizes: Answers of each seed, above 0, `[..., seed]`.

    Source: the variance of a mean of S shares is p (1 - p) times the sum of 1 / n over S^2.
    """
    return sizes.shape[-1] ** 2 / np.sum(1 / sizes, axis=-1)


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
