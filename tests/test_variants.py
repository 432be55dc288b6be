"""Several studies in one file."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankshift.errors import UserError
from rankshift.study_file import read_studies, read_study
from rankshift.variants import overlay

DEMO = Path("studies/demo.toml").read_text(encoding="utf-8")
VARIANTS = """
[variants.one]
grid.ranks = [2]

[variants.two]
base.model = "organism:2"
grid.seeds = [7]
grid.twin_seeds = [7]
"""


def write(tmp_path: Path, text: str) -> Path:
    (tmp_path / "x.toml").write_text(text)
    return tmp_path / "x.toml"


def test_each_variant_is_the_shared_study_with_its_own_keys_in_place(tmp_path):
    path = write(tmp_path, DEMO + VARIANTS)
    one, two = read_studies(path, whole=True)
    shared = read_study(write(tmp_path, DEMO))
    assert (one.name, two.name) == ("demo.one", "demo.two")
    assert one.grid.ranks == (2,)
    assert (one.grid.seeds, one.training, one.base) == (
        shared.grid.seeds,
        shared.training,
        shared.base,
    )
    assert (two.base.model, two.grid.seeds, two.grid.ranks) == (
        "organism:2",
        (7,),
        (1, 2, 4, 16, 64, 256),
    )


def test_without_a_word_the_variants_that_the_file_names_first_are_taken(tmp_path):
    path = write(tmp_path, 'first = ["two"]\n' + DEMO + VARIANTS)
    assert [study.name for study in read_studies(path)] == ["demo.two"]
    assert [study.name for study in read_studies(path, "one")] == ["demo.one"]
    assert [study.name for study in read_studies(path, whole=True)] == ["demo.one", "demo.two"]
    assert len(read_studies(write(tmp_path, DEMO + VARIANTS))) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'first = ["tow"]\n' + DEMO + VARIANTS,
            "x.toml:1: there is no variant 'tow'; did you mean 'two'?",
        ),
        (
            DEMO + "\n[variants]\n",
            "[variants] holds no table; add one, such as [variants.other-base]",
        ),
        (
            DEMO + "\n[variants]\na = 1\n",
            "variants.a is no table; write [variants.a] above its keys",
        ),
        ("first = 1\n" + DEMO + VARIANTS, "x.toml:1: first is no list of variants' names"),
        (DEMO + VARIANTS + "\n[variants.two.grid]\nrank = [1]\n", "not TOML"),
        (
            DEMO + "\n[variants.a]\ngrid.rank = [1]\n",
            "unknown key grid.rank; did you mean `ranks`?",
        ),
    ],
)
def test_what_is_wrong_with_a_variant_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(UserError) as caught:
        read_studies(write(tmp_path, text))
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "x.toml:"))


def test_a_verb_that_takes_one_study_does_not_choose_among_several(tmp_path):
    with pytest.raises(UserError, match="holds 2 studies; name one of them"):
        read_study(write(tmp_path, DEMO + VARIANTS))


TABLES = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner), max_leaves=8
)


@given(st.dictionaries(st.sampled_from("abc"), TABLES))
def test_changes_over_themselves_change_nothing(table):
    assert overlay(table, table) == table
    assert overlay({}, table) == table
    assert overlay(table, {}) == table
