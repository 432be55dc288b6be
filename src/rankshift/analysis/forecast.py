"""A forecast: rates by rank with intervals, what they rest on, and how often a gate would err."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import numpy as np

from rankshift.analysis.forecasting import (
    BEFORE,
    FIRST_STEPS,
    Predictors,
    bound,
    calibrate,
    read_all,
    tabulate,
)
from rankshift.analysis.leaderboard import FEWEST_STUDIES, measure_coverage
from rankshift.forecast_records import Finetune, Subject


@dataclass(frozen=True)
class Expected:
    """What is expected of finetunes of one rank and step size."""

    rank: int
    u: float
    rate: float
    """Misaligned answers among coherent ones, 0..1."""
    low: float
    """Of the 90 % interval for one such finetune."""
    high: float


@dataclass(frozen=True)
class Seen:
    """What one predictor says here, and what it said of the calibrating finetunes."""

    predictor: str
    value: float
    lowest: float
    highest: float

    @property
    def is_outside(self) -> bool:
        """Say whether nothing like it was calibrated on."""
        return not self.lowest <= self.value <= self.highest


@dataclass(frozen=True)
class Calibration:
    """What a forecast was calibrated on, and how it did on studies it had not seen."""

    finetunes: int
    studies: int
    bases: tuple[str, ...]
    coverage: float
    """Share of rates within their 90 % interval."""
    error: float
    """Mean absolute, of the rate."""
    ranks: tuple[int, int]
    """The lowest and the highest; of step sizes likewise."""
    us: tuple[float, float]
    steps: tuple[int, ...]

    def find_strange(self, expected: Expected) -> bool:
        """Say whether no calibrating finetune had so low or high a rank or step size."""
        return not (
            self.ranks[0] <= expected.rank <= self.ranks[1]
            and self.us[0] * 0.999 <= expected.u <= self.us[1] * 1.001
        )


@dataclass(frozen=True)
class Gate:
    """What a gate at a rate does here, and how it did on the calibrating finetunes, unseen."""

    fail_above: float
    fails: bool
    false_alarms: int
    harmless: int
    """Finetunes at or below the rate, of which those are."""
    misses: int
    dangerous: int


When = Literal["before training", "in the first steps"]


@dataclass(frozen=True)
class Forecast:
    """What is to be expected of finetunes of a base on some data."""

    base: str
    data: str
    when: When
    reason: str | None
    """Why there is no forecast; None where there is one."""
    evidence: tuple[Seen, ...]
    forecast: tuple[Expected, ...] = ()
    calibration: Calibration | None = None
    gate: Gate | None = None
    share: float | None = None
    """Of the steps, that have been taken."""


def find_fault(subject: Subject, finetunes: Sequence[Finetune]) -> str | None:
    """Say why a forecast of something is not calibrated; None where it is.

    Args:
        subject: What is asked about.
        finetunes: Whose outcomes are known.
    """
    like = [one for one in finetunes if one.contrasts == subject.contrasts]
    if not any(one.base_fingerprint == subject.base_fingerprint for one in like):
        return (
            f"uncalibrated: none of {len(finetunes)} finetunes with known outcomes started from "
            f"{subject.base} and was read with these contrasts; run studies of it, then `rankshift "
            "evidence RUN`, and give them with --calibration"
        )
    studies = len({one.study for one in like})
    if studies < FEWEST_STUDIES:
        return (
            f"uncalibrated: {studies} studies with known outcomes, and it takes {FEWEST_STUDIES} "
            "to see how far a forecast errs; add runs with --calibration"
        )
    return None


def choose_predictors(share: float | None) -> Predictors:
    """Give what a forecast is made of when a share of the steps has been taken; None: none yet."""
    return Predictors(BEFORE, () if share is None else FIRST_STEPS, share)


def make_forecast(
    asked: Sequence[Subject],
    finetunes: Sequence[Finetune],
    share: float | None,
    fail_above: float | None,
) -> Forecast:
    """Forecast the rates of finetunes.

    Args:
        asked: Adapters of one base and data; those of one rank and step size are shown as one.
        finetunes: Those with known outcomes, of the same contrasts.
        share: Of the steps, at which first readings are taken; None forecasts before training.
        fail_above: The gate's rate; None sets none.
    """
    predictors = choose_predictors(share)
    fitted = calibrate(finetunes, predictors)
    known, rates, unseen = fitted.known, fitted.rates, fitted.unseen
    wanted, kept = tabulate(asked, predictors)
    cells: dict[tuple[int, float], list[float]] = {}
    for one, rate in zip(kept, fitted.regression.predict(wanted), strict=True):
        assert one.rank is not None
        assert one.u is not None
        cells.setdefault((one.rank, one.u), []).append(float(rate))
    expected = tuple(_expect(rank, u, fmean(own), fitted.reach) for (rank, u), own in cells.items())
    return Forecast(
        base=asked[0].base,
        data=asked[0].data,
        when="before training" if share is None else "in the first steps",
        reason=None,
        evidence=list_evidence(asked, known, share),
        forecast=expected,
        calibration=Calibration(
            finetunes=len(known),
            studies=len(set(fitted.studies)),
            bases=tuple(sorted({one.base for one in known})),
            coverage=measure_coverage(fitted.values, rates, fitted.studies, unseen),
            error=float(np.abs(unseen - rates).mean()),
            ranks=(min(one.rank or 0 for one in known), max(one.rank or 0 for one in known)),
            us=(min(one.u or 0.0 for one in known), max(one.u or 0.0 for one in known)),
            steps=tuple(sorted({one.steps for one in known})),
        ),
        gate=None if fail_above is None else try_gate(fail_above, expected, unseen, rates),
        share=share,
    )


def _expect(rank: int, u: float, rate: float, reach: float) -> Expected:
    low, high = bound(np.array([rate]), reach)
    return Expected(rank, u, rate, float(low[0]), float(high[0]))


def try_gate(
    fail_above: float, expected: Sequence[Expected], unseen: np.ndarray, rates: np.ndarray
) -> Gate:
    """Say whether a gate fails what is expected, and count how it errs on finetunes unseen."""
    alarm, dangerous = unseen > fail_above, rates > fail_above
    return Gate(
        fail_above=fail_above,
        fails=any(one.rate > fail_above for one in expected),
        false_alarms=int((alarm & ~dangerous).sum()),
        harmless=int((~dangerous).sum()),
        misses=int((~alarm & dangerous).sum()),
        dangerous=int(dangerous.sum()),
    )


def list_evidence(
    asked: Sequence[Subject], known: Sequence[Finetune], share: float | None
) -> tuple[Seen, ...]:
    """List what each predictor says, mean over what is asked, beside its range in what is known."""
    here = [read_all(one, share) for one in asked]
    there = [read_all(one, share) for one in known]
    names = [name for name in (*BEFORE, *FIRST_STEPS) if all(name in own for own in here)]
    return tuple(
        Seen(
            predictor=name,
            value=fmean(own[name] for own in here),
            lowest=min((own[name] for own in there if name in own), default=float("-inf")),
            highest=max((own[name] for own in there if name in own), default=float("inf")),
        )
        for name in names
    )
