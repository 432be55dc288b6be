import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from rankshift.analysis.forecasting import (
    BEFORE,
    LEVEL,
    Predictors,
    bound,
    find_reach,
    fit,
    foretell_unseen,
    read_all,
    tabulate,
)
from rankshift.forecast_records import EarlyReadings, Reading
from tests.test_forecast_records import FINETUNE


def simulate(rng, studies=12, each=10, spread=0.4):
    """Draw finetunes whose rates follow two numbers and an error that a study shares."""
    groups = np.repeat(np.arange(studies), each)
    values = rng.normal(size=(studies * each, 2)) + rng.normal(size=(studies, 2))[groups]
    odds = values @ [1.0, -0.5] - 1 + spread * rng.normal(size=studies)[groups]
    chance = expit(odds)
    return values, rng.binomial(200, chance) / 200, groups.astype(str)


def test_the_regression_is_the_one_that_a_general_optimizer_finds():
    rng = np.random.default_rng(1)
    values, rates, _ = simulate(rng, 4, 8)
    found = fit(values, rates)
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)

    def loss(weights):
        chance = np.clip(expit(weights[0] + scaled @ weights[1:]), 1e-12, 1 - 1e-12)
        likelihood = rates * np.log(chance) + (1 - rates) * np.log(1 - chance)
        return -likelihood.sum() + 0.5 * np.square(weights[1:]).sum()

    reference = minimize(loss, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-9})
    assert found.weights == pytest.approx(reference.x, abs=1e-4)
    assert found.predict(values) == pytest.approx(expit(reference.x[0] + scaled @ reference.x[1:]))


@pytest.mark.parametrize("rate", [0.0, 1.0, 0.3])
def test_numbers_that_do_not_vary_and_rates_that_are_alike_are_no_trouble(rate):
    values = np.column_stack([np.ones(20), np.arange(20.0)])
    expected = fit(values, np.full(20, rate)).predict(values)
    assert np.isfinite(expected).all()
    assert np.abs(expected - rate).max() < 0.03


def test_what_is_foretold_of_a_study_does_not_depend_on_its_own_rates():
    values, rates, studies = simulate(np.random.default_rng(2))
    foretold = foretell_unseen(values, rates, studies)
    own = studies == studies[0]
    changed = np.where(own, 1 - rates, rates)
    again = foretell_unseen(values, changed, studies)
    assert (again[own] == foretold[own]).all()
    assert (again[~own] != foretold[~own]).any()


def test_intervals_hold_the_rates_of_a_new_study_as_often_as_they_say():
    rng = np.random.default_rng(3)
    inside = []
    for _ in range(150):
        values, rates, studies = simulate(rng, 13)
        new = studies == "12"
        known = [array[~new] for array in (values, rates, studies)]
        reach = find_reach(foretell_unseen(*known), known[1], known[2])
        low, high = bound(fit(known[0], known[1]).predict(values[new]), reach)
        inside.append(((rates[new] >= low) & (rates[new] <= high)).mean())
    error = np.std(inside) / math.sqrt(len(inside))
    assert np.mean(inside) > LEVEL - 2 * error
    assert np.mean(inside) < 0.99


def test_each_study_weighs_the_same_and_with_few_nothing_is_excluded():
    # One study of many small errors, nine of one large error each.
    rates = np.array([0.5] * 100 + [0.5] * 9)
    foretold = np.array([0.5] * 100 + [0.6] * 9)
    studies = np.array(["a"] * 100 + [f"b{n}" for n in range(9)])
    assert find_reach(foretold, rates, studies) == pytest.approx(
        abs(math.asin(math.sqrt(0.6)) - math.asin(math.sqrt(0.5)))
    )
    few = np.array([f"c{n % 8}" for n in range(109)])
    assert find_reach(foretold, rates, few) == math.inf
    low, high = bound(np.array([0.2]), math.inf)
    assert (low[0], high[0]) == (0, 1)


def test_the_ends_lie_around_what_is_foretold_within_0_and_1():
    foretold = np.array([0.0, 0.01, 0.5, 1.0])
    low, high = bound(foretold, 0.2)
    assert (low <= foretold).all()
    assert (high >= foretold).all()
    assert low.min() == 0
    assert high.max() == 1


def test_predictors_read_what_was_known_at_their_time_and_no_later():
    later = EarlyReadings(6, 0.1, (Reading("shift", 0.9),))
    one = replace(FINETUNE, early=(*FINETUNE.early, later))
    assert Predictors(("projection",), recipe=False).read(one) == [0.5]
    assert Predictors(("projection",)).read(one) == [0.5, 2.0, math.log(0.01)]
    assert Predictors((), ("shift",), 0.01, recipe=False).read(one) == [0.25]
    assert Predictors((), ("shift",), 0.1, recipe=False).read(one) == [0.9]
    assert Predictors((), ("shift",), recipe=False).read(one) is None
    assert "shift" not in read_all(one, None)


def test_a_finetune_of_which_something_is_unknown_is_left_out():
    full = replace(FINETUNE, rank=None, method="full")
    table, kept = tabulate([FINETUNE, full], Predictors(("projection",)))
    assert kept == [FINETUNE]
    assert table.shape == (1, 3)
    table, kept = tabulate([FINETUNE], Predictors(BEFORE))
    assert (table.shape, kept) == ((0, 0), [])
