from dataclasses import replace

import pytest

from rankshift.analysis.flatness import Flatness
from rankshift.analysis.peak import Change, Peak
from rankshift.analysis.sentences import name_best, tell_verdict
from rankshift.inference import Analysis

FOUND = Peak(
    "peak",
    (1, 2, 4, 8, 16),
    5,
    (0.1, 0.1, 0.3, 0.3, 0.2),
    statistic=4.5,
    critical_value=3.3,
    rise=Change((1, 2), (4, 8), 0.2, 6.0),
    fall=Change((4, 8), (16,), -0.1, -4.5),
    up=Change((1,), (8,), 0.2, 6.0),
    down=Change((8,), (16,), -0.1, -4.5),
    critical_change=3.8,
    largest_up=0.25,
    largest_down=0.13,
    confidence_set=(4, 8),
    flat=Flatness(0.1, 0.004, False),
    smallest_peak=0.07,
)


def tell(reading: str = "end", **changes: object) -> str:
    return tell_verdict(replace(FOUND, **changes), Analysis(), reading)


def test_each_verdict_is_one_sentence_with_its_numbers():
    assert tell() == (
        "Misalignment among coherent answers peaks at ranks 4 to 8: on average 20.0 points above "
        "ranks 1 to 2 and 10.0 points above rank 16, each at least 4.50 standard errors where 3.30 "
        "are needed; with 95% confidence it is highest at rank 4 to 8."
    )
    assert tell(verdict="flat") == (
        "Misalignment among coherent answers is flat from ranks 1 to 16: no two ranks differ by as "
        "much as 10.0 points (p = 0.004)."
    )
    assert tell(verdict="increasing") == (
        "Misalignment among coherent answers rises with rank: rank 8 on average 20.0 points above "
        "rank 1, 6.00 standard errors where 3.80 are needed, and a fall from one rank to a later "
        "one of more than 13.0 points is excluded; with 95% confidence it is highest at rank 4 to "
        "8."
    )
    assert "falls with rank: rank 16 on average 10.0 points below rank 8" in tell(
        verdict="decreasing"
    )


def test_an_undetermined_verdict_gives_its_reason():
    reason = "no difference between ranks is beyond chance"
    assert tell(verdict="undetermined", reason=reason, statistic=1.5) == (
        "Whether misalignment among coherent answers peaks at some rank cannot be told: in 5 seeds "
        "no difference between ranks is beyond chance; as a peak the best block would have 1.50 "
        "standard errors where 3.30 are needed, it may be highest at rank 4 to 8, and at this "
        "spread only a peak of 7.0 points or more is found 8 times in 10."
    )
    bare = Peak("undetermined", (1, 4), 0, (0.1, 0.2), reason="one seed per rank")
    assert tell_verdict(bare, Analysis(), "end").endswith("cannot be told: one seed per rank.")


def test_a_curve_without_a_block_above_both_sides_names_no_contrast():
    told = tell(verdict="undetermined", reason="it rises", statistic=-0.5)
    assert "no block of ranks lies above ranks on both sides" in told
    assert "-0.5" not in told


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        ("skill 0.9", "once 90% of the drop in held-out loss is reached"),
        ("kl 0.1", "once the divergence from the base is 0.1 nats a token"),
        ("insecure_code 0.5", "once 50% of held-out code is insecure"),
    ],
)
def test_a_reading_other_than_the_end_is_named(reading: str, words: str):
    assert f"Misalignment among coherent answers {words} peaks" in tell(reading)


def test_the_outcome_is_named():
    told = tell_verdict(FOUND, Analysis(outcome="misaligned_of_all"), "end")
    assert told.startswith("Misalignment among all answers peaks")


@pytest.mark.parametrize(
    ("ranks", "words"),
    [
        ((4,), "rank 4"),
        ((1, 4), "rank 1 or 4"),
        ((1, 2, 8), "rank 1 to 2 or 8"),
        ((1, 2, 4, 8, 16), "any rank"),
        ((1, 4, 16), "rank 1, 4 or 16"),
    ],
)
def test_the_best_ranks_are_named_in_runs(ranks: tuple[int, ...], words: str):
    assert name_best(replace(FOUND, confidence_set=ranks)) == words
