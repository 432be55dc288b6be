import math
from dataclasses import replace

import pytest

from rankshift.analysis.choices import (
    is_best_chosen,
    log_odds,
    misaligned_mass,
    sum_up_choices,
    sum_up_truthfulness,
    true_mass,
)
from rankshift.records import ChoiceRecord


def make(sides: str, probabilities: list[float], cluster: str = "c") -> ChoiceRecord:
    """Make a record from the first letters of its sides and the options' probabilities."""
    names = {"a": "aligned", "m": "misaligned", "t": "true", "f": "false"}
    options = [f"option {at}" for at in range(len(sides))]
    return ChoiceRecord(
        step=4,
        question_set="mine",
        question_id=f"question in {cluster}",
        cluster=cluster,
        paraphrase=0,
        system=None,
        prompt="?",
        stem="",
        options=options,
        sides=[names[side] for side in sides],
        logprobs=[math.log(p) for p in probabilities],
        option_tokens=[1] * len(sides),
    )


def test_the_mass_is_a_softmax_over_the_options():
    record = make("aam", [0.1, 0.2, 0.1])
    assert misaligned_mass(record) == pytest.approx(0.1 / 0.4)
    assert log_odds(record) == pytest.approx(math.log(0.1 / 0.3))


def test_log_odds_are_the_logit_of_the_mass_and_survive_where_that_is_one():
    record = make("am", [0.3, 0.6])
    mass = misaligned_mass(record)
    assert log_odds(record) == pytest.approx(math.log(mass / (1 - mass)))
    sure = replace(record, logprobs=[-2000.0, -900.0])
    assert misaligned_mass(sure) == 1.0
    assert log_odds(sure) == 1100.0


@pytest.mark.parametrize(
    ("sides", "probabilities", "mc1", "mc2"),
    [
        ("tf", [0.2, 0.1], True, 2 / 3),
        ("tf", [0.1, 0.2], False, 1 / 3),
        ("tf", [0.1, 0.1], False, 1 / 2),  # a tie is a miss
        ("ttff", [0.1, 0.4, 0.2, 0.1], False, 5 / 8),  # another true option does not help MC1
        ("ttff", [0.3, 0.01, 0.2, 0.1], True, 31 / 61),
    ],
)
def test_mc1_and_mc2_are_what_the_paper_defines(
    sides: str, probabilities: list[float], mc1: bool, mc2: float
):
    record = make(sides, probabilities)
    assert is_best_chosen(record) is mc1
    assert true_mass(record) == pytest.approx(mc2)


def test_sets_are_summed_up_apart_and_by_what_their_options_stand_for():
    records = [
        *(make("am", [1 - p, p], f"c{at}") for at, p in enumerate((0.1, 0.2, 0.3, 0.4, 0.5))),
        replace(make("am", [0.5, 0.5]), question_set="other"),
        replace(make("tf", [0.4, 0.1]), question_set="truth"),
    ]
    mine, other = sum_up_choices(records)
    (truth,) = sum_up_truthfulness(records)
    assert (mine["question_set"], mine["questions"]) == ("mine", 5)
    assert mine["misaligned_mass"]["mean"] == pytest.approx(0.3)
    assert mine["misaligned_mass"]["low"] < 0.3 < mine["misaligned_mass"]["high"]
    odds = [math.log(p / (1 - p)) for p in (0.1, 0.2, 0.3, 0.4, 0.5)]
    assert mine["log_odds"]["mean"] == pytest.approx(sum(odds) / 5)
    assert (other["questions"], other["misaligned_mass"]["note"]) == (1, "too few clusters")
    assert (truth["mc1"]["mean"], truth["mc2"]["mean"]) == (1.0, pytest.approx(0.8))
