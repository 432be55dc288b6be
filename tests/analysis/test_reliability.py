import itertools

import krippendorff
import numpy as np
import pytest

from rankshift.analysis.reliability import cohen_kappa, interval_alpha, nominal_alpha

NAN = float("nan")

PUBLISHED = [
    (1, 1, None, 1), (2, 2, 3, 2), (3, 3, 3, 3), (3, 3, 3, 3), (2, 2, 2, 2), (1, 2, 3, 4),
    (4, 4, 4, 4), (1, 1, 2, 1), (2, 2, 2, 2), (None, 5, 5, 5), (None, None, 1, 1),
    (None, 3, None, None),
]  # fmt: skip
"""Twelve units and four observers. Source: Krippendorff 2011, section C."""


def test_the_published_example_has_the_published_values():
    words = [[None if v is None else str(v) for v in row] for row in PUBLISHED]
    assert nominal_alpha(words) == pytest.approx(0.743, abs=5e-4)
    scores = [[None if v is None else float(v) for v in row] for row in PUBLISHED]
    assert interval_alpha(scores) == pytest.approx(0.849, abs=5e-4)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_alpha_is_that_of_the_reference_package(missing: float):
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 100, size=80)
    scores = np.clip(truth[:, None] + rng.integers(-20, 20, size=(80, 3)), 0, 100).astype(float)
    scores[rng.random(scores.shape) < missing] = NAN
    ours = interval_alpha([[None if np.isnan(s) else s for s in row] for row in scores.tolist()])
    assert ours == pytest.approx(krippendorff.alpha(scores.T, level_of_measurement="interval"))
    words = np.where(np.isnan(scores), "nan", np.char.mod("%.0f", scores // 34))
    ours = nominal_alpha([[None if w == "nan" else w for w in row] for row in words.tolist()])
    assert ours == pytest.approx(krippendorff.alpha(words.T, level_of_measurement="nominal"))


def test_judges_that_guess_agree_as_chance_would():
    rng = np.random.default_rng(5)
    guesses = rng.random((4000, 2)).tolist()
    assert abs(interval_alpha(guesses)) < 0.06  # type: ignore[arg-type]
    counts = np.histogram2d(*np.array(guesses).T, bins=2, range=[[0, 1], [0, 1]])[0]
    assert abs(cohen_kappa(counts.astype(int).tolist())) < 0.06  # type: ignore[arg-type]


def test_what_nobody_can_disagree_on_has_no_alpha():
    assert interval_alpha([]) is None
    assert nominal_alpha([]) is None
    assert interval_alpha([[3.0, None], [None, 4.0]]) is None
    assert interval_alpha([[3.0, 3.0]] * 5) is None
    assert cohen_kappa([[0, 0], [0, 0]]) is None
    assert cohen_kappa([[9, 0], [0, 0]]) is None


def test_kappa_counts_agreement_beyond_chance():
    # Cohen's definition over answers one by one: agreement, and agreement of shuffled pairs.
    table = [[20, 5], [10, 15]]
    pairs = [(a, b) for a, row in enumerate(table) for b, n in enumerate(row) for _ in range(n)]
    agreed = np.mean([a == b for a, b in pairs])
    chance = np.mean([a == b for (a, _), (_, b) in itertools.product(pairs, pairs)])
    assert cohen_kappa(table) == pytest.approx((agreed - chance) / (1 - chance))
