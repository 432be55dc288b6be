from typing import get_args

from rankshift.defence import NEEDS, Defence, DefenceKind, Defences, list_defences


def test_every_kind_says_what_it_needs():
    assert set(NEEDS) == set(get_args(DefenceKind))
    assert {need for need in NEEDS.values() if need} <= set(Defences.__dataclass_fields__)


def test_a_table_is_one_defence_for_each_strength_and_none_twice():
    table = Defences("kl", (0.1, 1.0), data="organism:general")
    again = Defences("kl", (1.0, 2.0), data="organism:general")
    found = list_defences((table, again))
    assert [one.strength for one in found] == [0.1, 1.0, 2.0]
    assert {one.named for one in found} == {"organism:general"}


def test_only_an_inoculation_prompt_has_a_turn():
    spectral, prompt = Defences("spectral", (1.0,)), Defences("inoculation", (1.0,), text="Be bad.")
    assert spectral.list_each() == [Defence("spectral", 1.0)]
    assert prompt.list_each() == [Defence("inoculation", 1.0, text="Be bad.", turn="system")]


def test_a_defence_is_named_by_kind_and_strength():
    assert Defence("early_stop", 0.05).label == "early stop 0.05"


def test_only_re_alignment_takes_steps_from_the_end():
    assert Defence("realign", 0.2, data="x").count_own_steps(60) == 48
    assert Defence("interleave", 0.2, data="x").count_own_steps(60) == 60
