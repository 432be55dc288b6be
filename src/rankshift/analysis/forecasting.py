"""The regression behind a forecast, and intervals from what it errs by on studies it has not seen.

docs/forecast.md says why so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.special import expit

from rankshift.forecast_records import Finetune, Subject

BEFORE = ("projection", "injection", "surprise", "pull", "in_context")
"""What is read of the base and the data and needs no label; what a forecast uses."""
FIRST_STEPS = ("shift", "log_odds", "drop")
S = TypeVar("S", bound=Subject)
LEVEL = 0.90
"""Of a forecast's interval."""
PENALTY = 1.0
"""Half of it times the squared weights of standardized predictors is added to the loss, the
negative log-likelihood summed over finetunes. Fixed before anything was fitted."""
ROUNDS = 50


@dataclass(frozen=True)
class Regression:
    """A logistic regression of rates on standardized predictors."""

    center: np.ndarray
    spread: np.ndarray
    """Standard deviations, `[predictor]`; 1 where a predictor does not vary."""
    weights: np.ndarray
    """`[1 + predictor]`, the intercept first."""

    def predict(self, values: np.ndarray) -> np.ndarray:
        """Give the expected rates of finetunes `[finetune, predictor]`, 0..1."""
        return expit(_standardize(values, self.center, self.spread) @ self.weights)


def fit(values: np.ndarray, rates: np.ndarray) -> Regression:
    """Fit rates in 0..1, every finetune weighing the same, by Newton's method.

    Args:
        values: `[finetune, predictor]`.
        rates: `[finetune]`; a rate is as many fractional successes of one trial (Papke and
            Wooldridge 1996, Journal of Applied Econometrics 11, 619-632).
    """
    spread = values.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    center = values.mean(axis=0)
    columns = _standardize(values, center, spread)
    penalty = np.diag([0.0, *[PENALTY] * values.shape[1]])
    weights = np.zeros(columns.shape[1])
    # Where all rates are alike the intercept would run away.
    mean = np.clip(rates.mean(), 0.5 / len(rates), 1 - 0.5 / len(rates))
    weights[0] = math.log(mean / (1 - mean))
    for _ in range(ROUNDS):
        expected = expit(columns @ weights)
        slope = columns.T @ (rates - expected) - penalty @ weights
        bend = (columns * (expected * (1 - expected))[:, None]).T @ columns + penalty
        step = np.linalg.solve(bend + 1e-9 * np.eye(len(bend)), slope)
        weights = weights + step / max(1.0, np.abs(step).max() / 2)
        if np.abs(step).max() < 1e-10:
            break
    return Regression(center, spread, weights)


def _standardize(values: np.ndarray, center: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(values)), (values - center) / spread])


def foretell_unseen(values: np.ndarray, rates: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Give each finetune's rate as foretold by a regression that has not seen its group.

    Args:
        values: `[finetune, predictor]`.
        rates: `[finetune]`.
        groups: `[finetune]`, names: of studies, or of bases; at least two.
    """
    foretold = np.empty(len(rates))
    for group in np.unique(groups):
        own = groups == group
        foretold[own] = fit(values[~own], rates[~own]).predict(values[own])
    # Finetunes with equal numbers tie, wherever in a product they stood.
    return np.round(foretold, 12)


def find_reach(foretold: np.ndarray, rates: np.ndarray, studies: np.ndarray) -> float:
    """Give how far a rate may lie from what is foretold, on the scale of `_even_out`.

    The quantile at `LEVEL` of errors on unseen studies, in which each study weighs the same and one
    more, whose errors are infinite, stands for the next; infinite with under nine studies.

    Source: Dunn, Wasserman and Ramdas 2023, JASA 118, 2491-2502, arXiv:1809.07441, section 3
    (pooling the groups' distributions).
    """
    errors = np.abs(_even_out(rates) - _even_out(foretold))
    _, index, counts = np.unique(studies, return_inverse=True, return_counts=True)
    shares = 1 / (counts[index] * (len(counts) + 1))
    order = np.argsort(errors)
    enough = np.flatnonzero(np.cumsum(shares[order]) >= LEVEL - 1e-12)
    return float(errors[order[enough[0]]]) if len(enough) else math.inf


def _even_out(rates: np.ndarray) -> np.ndarray:
    """Put shares on the scale on which their sampling noise does not depend on them."""
    return np.arcsin(np.sqrt(rates))


def bound(foretold: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Give the ends of the intervals around what is foretold, 0..1."""
    if math.isinf(reach):
        return np.zeros_like(foretold), np.ones_like(foretold)
    middle = _even_out(foretold)
    low, high = np.maximum(middle - reach, 0.0), np.minimum(middle + reach, np.pi / 2)
    return np.square(np.sin(low)), np.square(np.sin(high))


def read_all(finetune: Subject, share: float | None) -> dict[str, float]:
    """Give everything that is known of a finetune when a share of its steps has been taken."""
    readings = list(finetune.before)
    for seen in finetune.early:
        readings += seen.readings if seen.share == share else ()
    return {reading.predictor: reading.value for reading in readings}


@dataclass(frozen=True)
class Predictors:
    """Which numbers a forecast is made of."""

    before: tuple[str, ...] = ()
    early: tuple[str, ...] = ()
    share: float | None = None
    """Of the steps, at which the early ones are read."""
    recipe: bool = True
    """Whether rank and step size are among them."""

    def read(self, finetune: Subject) -> list[float] | None:
        """Give a finetune's numbers; None where one is not known, or it is no adapter."""
        known = read_all(finetune, self.share)
        if finetune.rank and finetune.u:
            known |= {"rank": math.log2(finetune.rank), "u": math.log(finetune.u)}
        wanted = (*self.before, *self.early, *(("rank", "u") if self.recipe else ()))
        values = [known.get(name) for name in wanted]
        return None if None in values else [float(value or 0.0) for value in values]


def tabulate(finetunes: Sequence[S], predictors: Predictors) -> tuple[np.ndarray, list[S]]:
    """Give the numbers of finetunes `[finetune, predictor]`, and those of which all are known."""
    read = [(one, predictors.read(one)) for one in finetunes]
    kept = [(one, values) for one, values in read if values is not None]
    width = len(kept[0][1]) if kept else 0
    table = np.array([values for _, values in kept], dtype=float).reshape(len(kept), width)
    return table, [one for one, _ in kept]


@dataclass(frozen=True)
class Calibrated:
    """A regression fitted to finetunes with known outcomes, and what it errs by on those unseen."""

    known: Sequence[Finetune]
    """Those of which every predictor is known."""
    values: np.ndarray
    """`[finetune, predictor]`, theirs; the next three likewise."""
    rates: np.ndarray
    studies: np.ndarray
    unseen: np.ndarray
    """What is foretold of each without its study."""
    reach: float
    """See `find_reach`."""
    regression: Regression


def calibrate(finetunes: Sequence[Finetune], predictors: Predictors) -> Calibrated:
    """Fit the regression of some predictors, and find how far it errs."""
    values, known = tabulate(finetunes, predictors)
    rates = np.array([one.rate for one in known])
    studies = np.array([one.study for one in known])
    unseen = foretell_unseen(values, rates, studies)
    reach = find_reach(unseen, rates, studies)
    return Calibrated(known, values, rates, studies, unseen, reach, fit(values, rates))
