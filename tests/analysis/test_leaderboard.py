from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import mannwhitneyu, spearmanr

from rankshift.analysis.forecasting import Predictors
from rankshift.analysis.leaderboard import CUT, Truth, score, score_all
from rankshift.errors import UserError
from rankshift.forecast_records import EarlyReadings, Finetune, Reading
from tests.test_forecast_records import FINETUNE

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def draw(rng: np.random.Generator, bases: int = 3, inside: float = 1.0) -> list[Finetune]:
    """Draw finetunes whose rate follows their data's share, and a trait that only `shift` shows."""
    found = []
    for base in range(bases):
        for share in SHARES:
            for number in range(8):
                trait = float(rng.normal())
                rate = expit(6 * share - 5 + inside * trait + 0.2 * rng.normal())
                before = [Reading(name, share + 0.1 * rng.normal()) for name in NAMES]
                found.append(
                    replace(
                        FINETUNE,
                        arm=f"{base}-{share}-{number}",
                        study=f"{base}-{share}",
                        base=f"b{base}",
                        base_fingerprint=f"f{base}",
                        data_fingerprint=f"d{share}",
                        rank=2 ** (1 + number % 4),
                        before=(*before, Reading("share", share)),
                        early=(EarlyReadings(1, 0.01, _first_steps(trait)),),
                        rate=float(rate),
                    )
                )
    return found


NAMES = ("projection", "injection", "surprise", "pull", "in_context")


def _first_steps(trait: float) -> tuple[Reading, ...]:
    return (Reading("shift", trait), Reading("log_odds", 0.0), Reading("drop", 0.0))


def correlate(one: np.ndarray, other: np.ndarray) -> float:
    """Give Spearman's correlation."""
    return float(np.asarray(spearmanr(one, other))[0])


def test_the_auroc_and_the_correlation_are_those_of_scipy():
    finetunes = draw(np.random.default_rng(1), bases=1)
    truth, every = Truth(finetunes), np.ones(len(finetunes), bool)
    foretold = np.round(np.random.default_rng(2).random(len(finetunes)), 1)  # with ties
    dangerous = truth.rates > CUT
    wins = mannwhitneyu(foretold[dangerous], foretold[~dangerous]).statistic
    pairs = dangerous.sum() * (~dangerous).sum()
    assert truth.auroc(foretold, every) == pytest.approx(wins / pairs)
    assert truth.rho(foretold, every) == pytest.approx(correlate(foretold, truth.rates))
    each = [
        correlate(foretold[truth.data == data], truth.rates[truth.data == data])
        for data in np.unique(truth.data)
    ]
    assert truth.rho_within(foretold, every) == pytest.approx(np.mean(each))


def test_within_one_data_the_share_says_nothing_and_what_tells_them_apart_does():
    finetunes = draw(np.random.default_rng(3))
    naive = score("share", "before", Predictors(("share",), recipe=False), finetunes)
    better = score("shift", "1 %", Predictors(("share",), ("shift",), 0.01), finetunes)
    assert naive is not None
    assert better is not None
    assert naive.auroc.mean is not None
    assert naive.auroc.mean > 0.8
    assert naive.auroc_within.mean == 0.5
    assert naive.correlation_within.mean == 0
    assert better.auroc_within.mean is not None
    assert better.auroc_within.mean > 0.95
    assert better.correlation_gain.low is not None
    assert better.correlation_gain.low > 0
    assert better.error < naive.error
    assert 0.8 < better.coverage <= 1


def test_numbers_that_mean_nothing_do_no_better_than_chance():
    rng = np.random.default_rng(4)
    found = []
    for _ in range(20):
        finetunes = [replace(one, rate=float(rng.random() * 0.2)) for one in draw(rng)]
        standing = score("shift", "1 %", Predictors((), ("shift",), 0.01), finetunes)
        assert standing is not None
        found.append(standing.auroc.mean)
    assert abs(np.mean(found) - 0.5) < 0.06


def test_every_entry_of_the_leaderboard_is_scored_and_says_when_it_is_known():
    standings = score_all(draw(np.random.default_rng(5)))
    names = [(one.name, one.when) for one in standings]
    assert ("share + recipe", "before") in names
    assert ("forecast", "before") in names
    assert ("forecast + first steps", "1 %") in names
    assert len(set(names)) == len(names) == 10 + 5
    assert {one.finetunes for one in standings} == {120}
    assert {one.auroc.bases for one in standings} == {3}


def test_what_was_never_read_has_no_row():
    finetunes = [
        replace(one, before=one.before[:2], early=()) for one in draw(np.random.default_rng(6))
    ]
    names = {one.name for one in score_all(finetunes)}
    assert names == {"recipe", "projection + recipe", "injection + recipe"}


def test_too_few_studies_are_refused_in_one_line():
    few = [one for one in draw(np.random.default_rng(7)) if one.study in ("0-0.0", "1-0.5")]
    with pytest.raises(UserError, match="2 studies of 2 bases: a leaderboard wants at least 5"):
        score_all(few)
