"""The line of a key, whatever the file holds."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankshift.toml_source import Source, find_line


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("[a]\nb = 1", "a.b", 2),
        ("a.b = 1", "a.b", 1),
        ("x = 1\na = { c = 2, b = 1 }", "a.b", 2),
        ("[a]\nc = [\n 1, # b = 2\n 2,\n]\n\n# b = 3\nb = 1", "a.b", 8),
        ("[a]\nb = [\n 1,\n 2,\n]", "a.b", 2),
        ('[a]\nc = """\nb = 1\n[d]\n"""\nb = 1', "a.b", 6),
        ("[a]\nc = '''\nb = 1'''\nb = 1", "a.b", 4),
        ('[a]\nc = "x # [ = "\n"b" = 1', "a.b", 3),
        ("[c]\nb = 1\n[a]\nb = 1", "a.b", 4),
        ("[a]\nb = 1\n[a.c]\nb = 2", "a.c.b", 4),
        ("[[a]]\nb = 1\n", "a.b", 1),
        ("[a]\nc = 1", "a.b", 1),
        ("c = 1", "a.b", 1),
    ],
)
def test_the_line_of_a_key_is_where_its_statement_begins(text, key, line):
    assert find_line(text, tuple(key.split("."))) == line


FILLERS = st.sampled_from(
    [
        "",
        "   ",
        "# target = 1",
        "# [t]",
        'f{} = "target = 1"',
        'f{} = "# [t] \\" = ["',
        'f{} = """\ntarget = 0\n"""',
        "f{} = '''\n[t]\ntarget = 0 '''",
        "f{} = [\n  1, # ]\n  [2,\n 3],\n]",
        "f{} = {{ target = 1, x = [1, 2] }}",
        "f{}.target = 2024-01-01",
        "'target {}' = 'x\\'",
    ]
)


@given(st.lists(FILLERS), st.lists(FILLERS), st.booleans())
def test_the_line_of_a_key_survives_whatever_stands_around_it(before, after, in_table):
    def spell(fillers, side):
        return [line.format(f"{side}{number}") for number, line in enumerate(fillers)]

    head = ["[t]"] if in_table else []
    above = "".join(part + "\n" for part in head + spell(before, "a"))
    text = above + "\n".join(["target = [\n 1 ]", *spell(after, "b")])
    key = ("t", "target") if in_table else ("target",)
    assert find_line(text, key) == above.count("\n") + 1


def test_a_key_of_a_variant_is_looked_for_in_its_table_and_then_among_what_is_shared():
    text = "[grid]\nranks = [1]\nseeds = [1]\n\n[variants.a.grid]\nranks = [2]\n"
    source = Source(Path("x.toml"), text, ("variants", "a"))
    assert str(source.error(("grid", "ranks"), "wrong")) == "x.toml:6: wrong"
    assert str(source.error(("grid", "seeds"), "wrong")) == "x.toml:3: wrong"
