import tomllib
from pathlib import Path

import pytest

from findings.contrasts import estimate_contrast
from findings.rank_contrasts import RANKS, SKILL, US, lift_rank_1, list_contrasts

STUDY = Path(__file__).parents[2] / "studies" / "what-rank-does.toml"


def test_every_contrast_has_a_name_of_its_own_and_weights_that_sum_to_zero():
    named = list(list_contrasts())
    assert len({name for name, _ in named}) == len(named)
    for name, weights in named:
        assert sum(weights.values()) == pytest.approx(0.0), name
        assert sum(abs(weight) for weight in weights.values()) > 0.1, name


def test_the_cells_are_those_of_the_study():
    study = tomllib.loads(STUDY.read_text())
    rate = study["grid"]["learning_rates"][0]
    for number in (1, 2, 3):
        variant = study["variants"][f"base-{number}"]
        assert tuple(variant["grid"]["ranks"]) == RANKS
        assert [alpha * rate for alpha in variant["grid"]["alphas"]] == pytest.approx(US)
    assert study["analysis"]["reading"] == SKILL


def test_what_rank_1_has_over_wide_ranks_is_found():
    seeds = [("a", 1), ("a", 2)]
    rates = {
        cell: dict.fromkeys(seeds, 0.5 if cell.rank == 1 else 0.2) for cell in lift_rank_1(US[0])
    }
    found = estimate_contrast(rates, lift_rank_1(US[0]))
    assert found is not None
    assert found[0].mean == pytest.approx(0.3)
