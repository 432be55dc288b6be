"""The sentence on defences."""

from rankshift.report.defence_sentence import tell_defences
from tests.report.test_defence_groups import make_entry


def tell(*verdicts: tuple[str, int | None, str]) -> str:
    entries = [make_entry(label, rank, verdict=verdict) for label, rank, verdict in verdicts]
    return tell_defences({"defences": entries})


def test_without_defences_nothing_is_said():
    assert tell_defences({}) == tell_defences({"defences": []}) == ""


def test_each_defence_is_counted_once_and_hiding_anywhere_outweighs_working_elsewhere():
    told = tell(
        ("kl 1", 1, "works"),
        ("kl 1", 4, "works"),
        ("inoculation 1", 1, "works"),
        ("inoculation 1", 4, "hides"),
        ("inoculation 1", None, "hides"),
        ("spectral 1", 1, "fails"),
        ("spectral 1", 4, "undetermined"),
        ("realign 0.1", 1, "fails"),
        ("realign 0.1", 4, "fails"),
    )
    assert told == (
        "Of 4 defences: 1 works everywhere; 1 only hides misalignment at rank 4 and in full "
        "finetuning; 2 fail at ranks 1 and 4."
    )


def test_several_that_do_the_same_everywhere_are_counted_together():
    told = tell(("kl 1", 1, "works"), ("kl 2", 1, "works"), ("early stop 1", 1, "costs"))
    assert told == (
        "Of 3 defences: 2 work everywhere; 1 removes it and keeps too little else everywhere."
    )


def test_what_is_not_known_is_said_too():
    told = tell(("kl 1", 1, "undetermined"), ("kl 2", 1, "nothing to remove"))
    assert told == (
        "Of 2 defences: 1 had nothing to remove everywhere; 1 is undetermined everywhere."
    )
    assert tell(("kl 1", 8, "works")) == "Of 1 defence: 1 works everywhere."
