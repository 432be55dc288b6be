import numpy as np
import pytest

from calibration.truths import Truth, draw_studies, find_loadings, rate_over_all
from rankshift.analysis.clustering import estimate_icc

TRUTH = Truth(0.1, 0.15, 0.06, 5, 24, 10)


def test_a_truth_has_the_rate_the_icc_and_the_spread_over_seeds_that_it_names():
    # One study of 400 seeds that are asked 1,500 questions each.
    many = Truth(0.1, 0.15, 0.06, 400, 1500, 10)
    draws = draw_studies(many, 1, np.random.default_rng(1))
    rates = draws.events[0] / draws.sizes[0]
    assert rates.mean() == pytest.approx(0.1, abs=0.01)
    assert rates.mean(1).std(ddof=1) == pytest.approx(0.06, abs=0.008)
    # The ICC of an arm, at the variance of an answer over all arms.
    covariances = [
        icc * p * (1 - p)
        for seed, p in zip(draws.events[0].astype(float), rates.mean(1), strict=True)
        if (icc := estimate_icc(seed, np.full(1500, 10.0))) is not None
    ]
    assert np.mean(covariances) / (0.1 * 0.9) == pytest.approx(0.15, abs=0.015)


@pytest.mark.parametrize("coherent", [1.0, 0.6])
def test_the_rate_on_these_questions_is_that_of_very_many_seeds_on_them(coherent: float):
    many = Truth(0.1, 0.3, 0.1, 3000, 8, 20, coherent)
    draws = draw_studies(many, 4, np.random.default_rng(2))
    by_seed = draws.events.sum(-1) / draws.sizes.sum(-1)
    error = by_seed.std(-1) / np.sqrt(3000)
    assert np.all(np.abs(by_seed.mean(-1) - draws.these_questions) < 4 * error)
    assert draws.these_questions.std() > 5 * error.max()  # questions differ: these are not all


@pytest.mark.parametrize("coherent", [1.0, 0.6])
def test_the_rate_on_new_questions_is_that_of_very_many_seeds_and_questions(coherent: float):
    many = Truth(0.3, 0.3, 0.1, 1000, 1000, 3, coherent)
    draws = draw_studies(many, 1, np.random.default_rng(3))
    by_seed = draws.events.sum(-1) / draws.sizes.sum(-1)
    assert by_seed.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.1**2 / 1000 + 0.063 / 1000))
    assert draws.new_questions == 0.3


def test_misaligned_answers_are_lost_to_incoherence_more_often_than_others():
    whole, partly = (find_loadings(0.3, 0.15, 0.06, coherent) for coherent in (1.0, 0.6))
    assert rate_over_all(partly, 0.6) == pytest.approx(0.3, abs=1e-6)
    # The same answers, had all counted, would hold more events: the middle was raised to make up.
    assert partly.middle > whole.middle + 0.05
    draws = draw_studies(Truth(0.3, 0.15, 0.06, 5, 24, 10, 0.6), 300, np.random.default_rng(4))
    assert draws.sizes.mean() == pytest.approx(6, abs=0.15)
    rates = draws.events.sum(1) / np.maximum(draws.sizes.sum(1), 1)
    assert np.corrcoef(rates.ravel(), draws.sizes.sum(1).ravel())[0, 1] < -0.2


def test_a_rate_of_zero_has_no_event():
    draws = draw_studies(Truth(0.0, 0.0, 0.0, 3, 8, 10), 5, np.random.default_rng(5))
    assert draws.events.shape == (5, 3, 8)
    assert (draws.events.max(), draws.these_questions.max(), draws.new_questions) == (0, 0, 0)


def test_a_truth_is_named_without_spaces():
    assert TRUTH.name == "rate-0.10/icc-0.15/sd-0.06/seeds-5/questions-24/answers-10"
