import numpy as np
import pytest
from scipy import stats

from rankshift.analysis.crossed import bound_new_questions, cross_seeds_and_questions
from rankshift.analysis.intervals import bound_over_clusters, bound_over_seeds

SEEDS, QUESTIONS, ANSWERS = 4, 6, 10


@pytest.fixture(scope="module")
def events() -> np.ndarray:
    rng = np.random.default_rng(1)
    chances = np.clip(
        0.5 + 0.15 * rng.normal(size=(SEEDS, 1)) + 0.3 * rng.normal(size=(1, QUESTIONS)), 0.05, 0.95
    )
    return rng.binomial(ANSWERS, chances)


@pytest.fixture(scope="module")
def sizes() -> np.ndarray:
    return np.full((SEEDS, QUESTIONS), ANSWERS)


def fit_squares(rates: np.ndarray) -> tuple[float, float, float]:
    """Give mean squares of seeds, questions and rest by least squares on dummy columns."""

    def sum_left(*columns: np.ndarray) -> float:
        design = np.column_stack([np.ones(rates.size), *columns])
        fitted = design @ np.linalg.lstsq(design, rates.ravel(), rcond=None)[0]
        return float(np.sum(np.square(rates.ravel() - fitted)))

    seed, question = np.indices(rates.shape).reshape(2, -1)
    by_seed, by_question = np.eye(len(rates))[seed][:, 1:], np.eye(rates.shape[1])[question][:, 1:]
    rest = sum_left(by_seed, by_question)
    s, q = len(rates) - 1, rates.shape[1] - 1
    return (sum_left(by_question) - rest) / s, (sum_left(by_seed) - rest) / q, rest / (s * q)


def test_with_equal_answers_the_variance_is_that_of_a_table_with_two_crossed_samples(
    events: np.ndarray, sizes: np.ndarray
):
    found = cross_seeds_and_questions(events, sizes)
    seed, question, rest = fit_squares(events / ANSWERS)
    assert min(seed, question) > rest
    variance = (seed + question - rest) / (SEEDS * QUESTIONS)
    assert found.variance == pytest.approx(variance)
    assert (found.seed, found.question) == pytest.approx(
        ((seed - rest) / QUESTIONS, (question - rest) / SEEDS)
    )
    assert found.interaction == pytest.approx(rest)
    spread = (seed**2 / 3 + question**2 / 5 + rest**2 / 15) / (SEEDS * QUESTIONS) ** 2
    assert found.degrees == pytest.approx(variance**2 / spread)
    rate = events.mean() / ANSWERS
    assert found.rate == pytest.approx(rate)
    assert found.design_effect == pytest.approx(variance / (rate * (1 - rate) / 239))


def test_the_variance_is_right_on_average_over_both_samples():
    rng = np.random.default_rng(2)
    shape = (20_000, SEEDS, QUESTIONS)
    seed = rng.uniform(-0.2, 0.2, (20_000, SEEDS, 1))
    question = rng.uniform(-0.25, 0.25, (20_000, 1, QUESTIONS))
    found = cross_seeds_and_questions(
        rng.binomial(ANSWERS, 0.5 + seed + question), np.full(shape, ANSWERS)
    )
    between = 0.4**2 / 12 / SEEDS + 0.5**2 / 12 / QUESTIONS
    sampling = (0.25 - 0.4**2 / 12 - 0.5**2 / 12) / (SEEDS * QUESTIONS * ANSWERS)
    assert np.var(found.rate) == pytest.approx(between + sampling, rel=0.05)
    assert np.mean(found.variance) == pytest.approx(between + sampling, rel=0.05)


def test_empty_cells_and_unequal_answers_keep_every_seeds_own_rate():
    events = np.array([[3, 0, 5, 1, 2], [0, 2, 9, 0, 4], [1, 1, 6, 0, 1]])
    sizes = np.array([[5, 0, 9, 7, 4], [2, 6, 10, 0, 8], [4, 3, 10, 2, 5]])
    found = cross_seeds_and_questions(events, sizes)
    assert found.rate == pytest.approx(np.mean([11 / 25, 15 / 26, 9 / 24]))
    assert float(found.variance) > 0
    assert float(found.degrees) >= 2


def test_components_are_never_below_zero_nor_degrees_below_the_fewer_sample():
    rng = np.random.default_rng(3)
    found = cross_seeds_and_questions(
        rng.binomial(ANSWERS, 0.3, (500, 3, QUESTIONS)), np.full((500, 3, QUESTIONS), ANSWERS)
    )
    for component in (found.seed, found.question, found.interaction):
        assert np.min(component) >= 0
    assert np.min(found.degrees) >= 2


def test_the_interval_is_never_surer_than_that_on_these_questions():
    rng = np.random.default_rng(4)
    seed, question = rng.normal(size=(300, 5, 1)), rng.normal(size=(300, 1, 24))
    events = rng.binomial(10, stats.norm.cdf(-1.2 + 0.3 * seed + 0.7 * question))
    sizes = np.full(events.shape, 10)
    _, low, high = bound_new_questions(events, sizes)
    these_low, these_high = bound_over_seeds(events.sum(-1), sizes.sum(-1))
    assert np.all(low <= these_low)
    assert np.all(high >= these_high)
    assert np.mean(high - low) > 1.05 * np.mean(these_high - these_low)


def test_seeds_that_are_copies_are_worth_one_arm_over_its_questions():
    rng = np.random.default_rng(5)
    one = rng.binomial(10, rng.beta(1, 2, size=24))
    events, sizes = np.tile(one, (5, 1)), np.full((5, 24), 10)
    crossed, low, high = bound_new_questions(events, sizes)
    assert crossed.degrees == pytest.approx(23)
    assert crossed.variance == pytest.approx(np.var(one / 10, ddof=1) / 24)
    alone = bound_over_clusters(one, sizes[0])
    # Student's t of 1,199 answers for that of 239, and 1,199/1,200 for 239/240, are what is left.
    assert (low, high) == pytest.approx(alone, rel=5e-3)


def test_no_event_leaves_an_interval_that_knows_how_few_questions_were_asked():
    few = bound_new_questions(np.zeros((3, 5)), np.full((3, 5), 48))
    many = bound_new_questions(np.zeros((3, 24)), np.full((3, 24), 10))
    assert np.isnan(few[0].design_effect)
    assert few[1] == many[1] == 0.0
    assert few[2] > 2 * many[2] > 0.0
    left = 720 / (1 + 29 * 0.3) * (stats.t.ppf(0.975, 719) / stats.t.ppf(0.975, 23)) ** 2
    assert many[2] == pytest.approx(1 - 0.025 ** (1 / left))


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_the_interval_covers_the_mean_over_other_seeds_and_other_questions(rate: float):
    rng = np.random.default_rng(6)
    seed, question = rng.normal(size=(3000, 5, 1)), rng.normal(size=(3000, 1, 24))
    # Phi(m + g b + f a) has mean Phi(m / sqrt(1 + g^2 + f^2)).
    middle = stats.norm.ppf(rate) * np.sqrt(1 + 0.4**2 + 0.7**2)
    events = rng.binomial(10, stats.norm.cdf(middle + 0.4 * seed + 0.7 * question))
    _, low, high = bound_new_questions(events, np.full(events.shape, 10))
    assert np.mean((low <= rate) & (rate <= high)) >= 0.935
    assert np.mean(high - low) < 0.35
