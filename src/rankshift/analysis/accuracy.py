"""One judge measured against a reference that is taken for the truth.

A judge calls an answer an event (misaligned, say) or does not; the reference says whether it is
one. Sensitivity is the share of events that are called so, specificity the share of the others
that are not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rankshift.analysis.intervals import (
    FEWEST_CLUSTERS,
    NOTHING_COUNTED,
    TOO_FEW_CLUSTERS,
    Interval,
    count_effective_answers,
    exact_interval,
)

NUM_DRAWS = 10_000
"""An end of an interval then varies by some 1 % of the interval's width from seed to seed."""

NO_BETTER_THAN_CHANCE = "no better than chance against the reference"


@dataclass(frozen=True)
class Label:
    """What a reference and another judge made of one answer."""

    cluster: str
    is_event: bool
    """By the reference."""
    is_called: bool
    """By the judge."""
    weight: float = 1.0
    """Answers it stands for: the inverse of its chance to be in the sample."""


@dataclass(frozen=True)
class Tally:
    """Weighted answers with a yes or no, of which a share is wanted."""

    clusters: np.ndarray
    """Which cluster each answer is of, `[answer]`."""
    hits: np.ndarray
    weights: np.ndarray

    @property
    def share(self) -> float | None:
        """Give the weighted share of hits (Horvitz and Thompson 1952); None of nothing."""
        if not self.weights.size:
            return None
        return float(np.sum(self.weights * self.hits) / np.sum(self.weights))

    @property
    def equal_answers(self) -> float:
        """Count how many answers of equal weight they are worth (Kish 1965, section 11.7)."""
        if not self.weights.size:
            return 0.0
        return float(np.sum(self.weights) ** 2 / np.sum(np.square(self.weights)))

    @property
    def num_clusters(self) -> int:
        """Count the clusters that hold an answer."""
        return len(np.unique(self.clusters))

    @property
    def effective_answers(self) -> float:
        """Count how many independent answers they are worth; answers to one question are alike."""
        if not self.weights.size:
            return 0.0
        _, places = np.unique(self.clusters, return_inverse=True)
        events = np.bincount(places, self.weights * self.hits)
        sizes = np.bincount(places, self.weights)
        return count_effective_answers(events, sizes, self.equal_answers)

    def exact_interval(self) -> Interval:
        """Give Clopper and Pearson's interval, answers taken for independent."""
        share = self.share
        if share is None:
            return Interval(None, None, NOTHING_COUNTED)
        return exact_interval(share, self.equal_answers)

    def clustered_interval(self) -> Interval:
        """Give the same at the effective number of answers."""
        share = self.share
        if share is None:
            return Interval(None, None, NOTHING_COUNTED)
        if self.num_clusters < FEWEST_CLUSTERS:
            return Interval(None, None, TOO_FEW_CLUSTERS)
        return exact_interval(share, self.effective_answers)

    def draw(self, rng: np.random.Generator, number: int) -> np.ndarray:
        """Draw shares that fit what was seen: Jeffreys' interval as draws, `[draw]`.

        Source: Brown, Cai and DasGupta 2001, Statistical Science 16(2), 101-133, section 4.3.
        """
        share, answers = self.share or 0.0, self.effective_answers
        return rng.beta(share * answers + 0.5, (1 - share) * answers + 0.5, number)


@dataclass(frozen=True)
class Accuracy:
    """A judge's sensitivity and specificity, measured on labelled answers."""

    events: Tally
    """Events by the reference; a hit is one that the judge calls so."""
    others: Tally
    """The others; a hit is one that it does not."""
    draws: tuple[np.ndarray, np.ndarray]
    """Pairs of sensitivity and specificity that fit the labels, `[draw]` each."""

    @property
    def fault(self) -> str | None:
        """Say why no rate can be put right with it; None when one can."""
        sensitivity, specificity = self.events.share, self.others.share
        if sensitivity is None or specificity is None:
            return NOTHING_COUNTED
        return NO_BETTER_THAN_CHANCE if sensitivity + specificity <= 1 else None

    @property
    def has_enough_clusters(self) -> bool:
        """Say whether there are labels of enough questions for an interval."""
        return min(self.events.num_clusters, self.others.num_clusters) >= FEWEST_CLUSTERS


def measure_accuracy(
    labels: Sequence[Label], rng: np.random.Generator, draws: int = NUM_DRAWS
) -> Accuracy:
    """Measure sensitivity and specificity on labelled answers.

    Where answers were sampled by what a judge said of them, their weights differ, and the few that
    stand for many decide: one missed event among answers that the judge passed can halve its
    sensitivity, and no spread among those seen tells of it. So the draws are then made of what is
    binomial in such a sample, the share of events among answers called events and among the
    others, and carried over by Bayes' rule at the judge's share of calls in all answers.

    Source: Begg and Greenes 1983, Biometrics 39(1), 207-215.
    """
    truth, called = (np.array([getattr(x, key) for x in labels], bool) for key in KEYS)
    events, others = tally(labels, truth, called), tally(labels, ~truth, ~called)
    weights = np.array([label.weight for label in labels])
    if not weights.size or np.ptp(weights) == 0:
        return Accuracy(events, others, (events.draw(rng, draws), others.draw(rng, draws)))
    calls = np.sum(weights * called) / np.sum(weights)
    found = calls * tally(labels, called, truth).draw(rng, draws)
    missed = (1 - calls) * tally(labels, ~called, truth).draw(rng, draws)
    return Accuracy(
        events, others, (found / (found + missed), (1 - calls - missed) / (1 - found - missed))
    )


KEYS = ("is_event", "is_called")


def tally(labels: Sequence[Label], chosen: np.ndarray, hits: np.ndarray) -> Tally:
    """Collect the labels that are chosen, `[label]`, and which of them hit."""
    clusters = np.array([label.cluster for label in labels], str)
    weights = np.array([label.weight for label in labels], float)
    return Tally(clusters[chosen], hits[chosen], weights[chosen])
