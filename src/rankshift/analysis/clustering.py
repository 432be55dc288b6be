"""How far answers to one question are alike, and what that costs: ICC and design effect."""

import numpy as np

PRIOR_ICC = 0.3
"""Taken for the likeness of answers to one question where few events show it.

Near the top of what public judged answers of finetunes by rank show (0.15 to 0.32), for an upper
end that is too low misleads more than one that is too high. docs/method.md compares it with no
prior.
"""

PRIOR_EVENTS = 5.0
"""Events that weigh as much as the prior does. Ours."""

Numbers = np.ndarray | float
"""An array; what is left of it where it has no axes is one number."""


def estimate_icc(events: np.ndarray, sizes: np.ndarray) -> float | None:
    """Estimate how far two answers to one question are alike, beyond two answers to any.

    The analysis-of-variance estimator of a binary outcome. It can be below 0: questions that
    differ less than chance would have them; -1 is the least that is given.

    Args:
        events: Counts of each cluster of questions, `[cluster]`.
        sizes: Out of how many answers, `[cluster]`; clusters of none are left out.

    Returns:
        At most 1; None where no question has two answers, there are under two questions, or all
        answers are alike.

    Source: Ridout, Demetrio and Firth 1999, Biometrics 55, 137-148, with Donner 1986,
    International Statistical Review 54, 67-82.
    """
    events, sizes = events[sizes > 0], sizes[sizes > 0]
    total, number = sizes.sum(), len(sizes)
    if number < 2 or total == number:
        return None
    rates, overall = events / sizes, events.sum() / total
    between = np.sum(sizes * np.square(rates - overall)) / (number - 1)
    within = np.sum(sizes * rates * (1 - rates)) / (total - number)
    usual_size = (total - np.sum(np.square(sizes)) / total) / (number - 1)
    spread = between + (usual_size - 1) * within
    return max(float((between - within) / spread), -1.0) if spread > 0 else None


def estimate_design_effect(
    events: np.ndarray, sizes: np.ndarray, answers: Numbers | None = None
) -> Numbers:
    """Estimate how many alike answers are worth as much as one that is independent.

    The variance of a ratio over clusters, relative to that of independent answers.

    Args:
        events: What was counted of each cluster, `[..., cluster]`; sums of weights where they
            weigh.
        sizes: Out of how many, same shape; none is 0.
        answers: Answers in all, `[...]`; with weights their equivalent in equal ones (Kish).

    Returns:
        0 or more, `[...]`; NaN where all answers are alike or there are under two clusters.

    Source: the linearised variance of a ratio, Cochran 1977, Sampling Techniques, section 6.3.
    """
    total, number = sizes.sum(-1), sizes.shape[-1]
    rate = events.sum(-1) / np.where(total > 0, total, 1)
    independent = rate * (1 - rate) / np.maximum((total if answers is None else answers) - 1, 1)
    is_known = (independent > 0) & (number > 1)
    residuals = events - rate[..., None] * sizes
    clustered = number / max(number - 1, 1) * np.square(residuals).sum(-1)
    whole = np.where(is_known, independent * np.square(total), 1.0)
    return np.where(is_known, clustered / whole, np.nan)[()]


def allow_for_few_events(design_effect: Numbers, events: Numbers, sizes: np.ndarray) -> Numbers:
    """Raise a design effect that rests on few events towards what the prior ICC gives.

    From no event no likeness can be seen, and from a few hardly any: taken at its word, the
    estimate lets answers that copy one another pass for independent. The prior weighs as much as
    `PRIOR_EVENTS` events (or answers that are none, where those are fewer). Nothing is lowered.

    Args:
        design_effect: As estimated, at least 1, `[...]`; 1 where there is no estimate.
        events: Number of events in all, `[...]`.
        sizes: Answers of each cluster, `[..., cluster]`.

    Source: the design effect of equal answers, 1 + (m - 1) ICC, with m = sum of m^2 over sum of m
    (Kish 1965, Survey Sampling, section 5.4; Gabler, Haeder and Lahiri 1999, Survey Methodology
    25, 105-106). The weight is ours.
    """
    total = sizes.sum(-1)
    usual_size = np.square(sizes, dtype=float).sum(-1) / np.maximum(total, 1)
    expected = 1 + (usual_size - 1) * PRIOR_ICC
    weight = PRIOR_EVENTS / (PRIOR_EVENTS + np.minimum(events, total - events))
    return np.maximum(design_effect, weight * expected + (1 - weight) * design_effect)
