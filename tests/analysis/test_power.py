from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from rankshift.analysis.contrast import Design
from rankshift.analysis.detection import find_smallest_height
from rankshift.analysis.peaks import build_peaks, find_primary
from rankshift.analysis.power import Spread, estimate_spread, find_power, tell_power
from rankshift.inference import Analysis

RANKS = (1, 4, 16, 64, 256)
RULES = Analysis()


def test_a_finetunes_rate_scatters_as_simulated_answers_do():
    spread = Spread(rate=0.3, question_icc=0.2, finetune_deviation=0.05)
    rng = np.random.default_rng(0)
    questions, answers, draws = 12, 8, 20_000
    of_one = 0.3 * 0.7
    common = rng.normal(0, np.sqrt(0.1 * of_one), questions)  # the half of the ICC that all share
    own = rng.normal(0, np.sqrt(0.1 * of_one), (draws, questions))
    rest = rng.normal(0, np.sqrt(0.8 * of_one / answers), (draws, questions))
    of_finetune = rng.normal(0, 0.05, draws)
    rates = 0.3 + (common + own + rest).mean(axis=1) + of_finetune
    assert spread.deviate(questions, answers) == pytest.approx(rates.std(), rel=0.03)


def test_the_smallest_peak_is_the_designs_in_deviations_of_a_rate():
    spread = Spread()
    power = find_power(RANKS, 5, (24, 10.0), spread, RULES)
    design = Design(((True,) * 5,) * 5, 5)
    height = find_smallest_height(design, RANKS, 0.05)
    assert height is not None
    assert power.smallest == pytest.approx(height * spread.deviate(24, 10))
    assert power.note is None


def test_more_of_anything_sees_less_and_questions_buy_more_than_answers():
    power = find_power(RANKS, 3, (24, 2.0), Spread(), RULES)
    assert power.smallest is not None
    assert power.one_more_seed is not None
    assert power.twice_the_questions is not None
    assert power.twice_the_answers is not None
    assert power.one_more_seed < power.smallest
    assert power.twice_the_questions < power.twice_the_answers < power.smallest


@pytest.mark.parametrize(
    ("ranks", "seeds", "questions", "words"),
    [
        (RANKS, 2, 24, "fewer than 3 seeds"),
        (RANKS[:2], 5, 24, "at least 3 ranks"),
        (RANKS, 5, 0, "no free-form question"),
    ],
)
def test_a_design_that_cannot_see_a_peak_says_why(
    ranks: tuple[int, ...], seeds: int, questions: int, words: str
):
    power = find_power(ranks, seeds, (questions, 10.0), Spread(), RULES)
    assert power.smallest is None
    assert words in tell_power(power)[0]


def test_two_seeds_are_told_what_a_third_would_see():
    power = find_power(RANKS, 2, (24, 10.0), Spread(), RULES)
    assert power.one_more_seed is not None
    assert f"one more seed {100 * power.one_more_seed:.1f} points" in tell_power(power)[1]


def make_results(values: np.ndarray, eligible: int, icc: float | None) -> dict[str, Any]:
    points = []
    for rank, rates in zip(RANKS, values.T, strict=True):
        counts = np.round(rates * eligible).astype(int).tolist()
        seeds = [
            {
                "arm": f"{rank}-{at}",
                "seed": at,
                "events": c,
                "eligible": eligible,
                "rate": c / eligible,
            }
            for at, c in enumerate(counts)
        ]
        points.append({"rank": rank, "icc": icc, "seeds": seeds})
    curve = {"role": "task", "question_set": "main", "judge": "oracle", "points": points}
    peaks = build_peaks([curve], [], RULES, {"question_set": "main", "judge": "oracle"})
    found = {"curves": [curve], "matched_curves": [], "peak": find_primary(peaks)}
    return found | {"study": {"name": "pilot"}}


def test_a_pilots_spread_is_estimated_without_the_noise_of_its_answers():
    rng = np.random.default_rng(1)
    seeds = 200
    truth = 0.4 + rng.normal(0, 0.06, (seeds, 1)) + rng.normal(0, 0.03, (seeds, 5))
    rates = rng.binomial(100, truth) / 100
    spread = estimate_spread(make_results(rates, 100, 0.25))
    assert spread is not None
    assert spread.rate == pytest.approx(0.4, abs=0.02)
    assert spread.seed_deviation == pytest.approx(0.06, abs=0.012)
    assert spread.finetune_deviation == pytest.approx(0.03, abs=0.008)
    assert (spread.question_icc, spread.source) == (0.25, "estimates from pilot")


def test_without_an_estimate_of_the_icc_or_a_curve_the_guess_stays():
    rates = np.tile([0.1, 0.2, 0.3, 0.2, 0.1], (3, 1))
    spread = estimate_spread(make_results(rates, 100, None))
    assert spread is not None
    assert spread.question_icc == Spread().question_icc
    assert spread.finetune_deviation == 0.0
    assert estimate_spread(make_results(rates[:1], 100, None)) is None
    assert estimate_spread({"peak": None}) is None


def test_the_guesses_are_said():
    power = find_power(RANKS, 3, (24, 10.0), Spread(), RULES)
    lines = tell_power(power)
    assert lines[0].startswith("a peak 3 octaves wide and ")
    assert lines[-1].startswith("guesses: rate 0.20, SD of seeds 0.050 and of seed x rank 0.040")
    estimated = replace(power, spread=replace(Spread(), source="estimates from pilot"))
    assert tell_power(estimated)[-1].startswith("estimates from pilot: ")
    assert set(asdict(power)) >= {"smallest", "one_more_seed", "note"}
