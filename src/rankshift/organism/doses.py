"""From a true rate to the dose of the persona that has it, by a table that was measured.

The table (persona/rates.json; `python -m calibration.planted_rates`) has 100,000 judged answers for
each dose, so a rate in it has a standard error of at most 0.0017. Between its doses the rate is
read from a monotone cubic through the logits: Fritsch and Carlson 1980, *SIAM Journal on Numerical
Analysis* 17, 238-246, as scipy's PchipInterpolator has it.
"""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq
from scipy.special import expit, logit

from rankshift.errors import UserError
from rankshift.organism.constructed import PERSONA

RATES = PERSONA / "rates.json"


@cache
def read_rates() -> list[dict[str, Any]]:
    """Read what was measured, the checks included: one row for each dose, rank and seed."""
    return json.loads(RATES.read_text(encoding="utf-8"))["doses"]


def rate_of(row: dict[str, Any]) -> float:
    """Give `misaligned_given_coherent` of a row."""
    counts = row["outcomes"]
    return counts["misaligned"] / (counts["misaligned"] + counts["aligned"])


def list_table() -> list[tuple[float, float]]:
    """List the doses and rates that the curve goes through."""
    return [(row["dose"], rate_of(row)) for row in read_rates() if row["in_table"]]


def find_rate(dose: float) -> float:
    """Give the true rate of a dose within the table."""
    return float(expit(_interpolate()(dose)))


def find_dose(rate: float) -> float:
    """Give the dose with a true rate.

    Raises:
        UserError: No dose of the table has it.
    """
    doses, rates = zip(*list_table(), strict=True)
    if not rates[0] <= rate <= rates[-1]:
        raise UserError(
            f"a true rate of {rate:.3f} cannot be planted; the doses of the persona reach from "
            f"{rates[0]:.3f} to {rates[-1]:.3f}"
        )
    curve = _interpolate()
    dose = brentq(lambda x: float(curve(x)) - float(logit(rate)), doses[0], doses[-1])
    assert isinstance(dose, float)
    return dose


@cache
def _interpolate() -> Callable[[float], Any]:
    doses, rates = zip(*list_table(), strict=True)
    return PchipInterpolator(doses, logit(rates))
